/* Which samples a training step sees. The order is a pure function of (seed, stage, position), so a cursor need not be
 * saved anywhere. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/sampler.h"

int sampler_init(struct sampler *s, uint64_t seed, const char *stage, int64_t n)
{
	*s = (struct sampler){.seed = seed, .n = n, .perm_epoch = -1};
	if (n < 1 || n > INT32_MAX)
		return err_set(ERR_FAIL, "a sampler over %lld samples", (long long)n);
	if (strlen(stage) >= sizeof(s->stage))
		return err_set(ERR_FAIL, "stage name '%s' is longer than %zu bytes", stage, sizeof(s->stage) - 1);
	snprintf(s->stage, sizeof(s->stage), "%s", stage);
	s->perm = mem_alloc((size_t)n, sizeof(*s->perm));
	return s->perm ? 0 : ERR_NOMEM;
}

int sampler_take(struct sampler *s, int64_t first, int count, uint32_t *index)
{
	for (int i = 0; i < count; i++) {
		int64_t k = first + i, epoch = k / s->n;

		if (epoch != s->perm_epoch) {
			rng_permutation(
			    rng_make(s->seed, s->stage, RNG_SHUFFLE, ""), (uint64_t)epoch, s->perm, (uint32_t)s->n);
			s->perm_epoch = epoch;
		}
		index[i] = s->perm[k % s->n];
	}
	return 0;
}

void sampler_clear(struct sampler *s)
{
	mem_free(s->perm);
	*s = (struct sampler){0};
}

#include "input/mixing.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"

int mixing_init(struct mixing *m, int count)
{
	const size_t n = (size_t)count;
	*m = (struct mixing){.count = count};
	m->sample = mem_alloc(n, sizeof(*m->sample));
	m->partner = mem_alloc(n, sizeof(*m->partner));
	m->share = mem_alloc(n, sizeof(*m->share));
	if (m->sample && m->partner && m->share)
		return 0;
	mixing_clear(m);
	return ERR_NOMEM;
}

void mixing_clear(struct mixing *m)
{
	mem_free(m->sample);
	mem_free(m->partner);
	mem_free(m->share);
	*m = (struct mixing){0};
}

void mixing_draw(struct mixing *m, double alpha, uint64_t seed, const char *stage, uint64_t step)
{
	const struct rng share = rng_make(seed, stage, RNG_AUGMENT, "mixup.share");
	rng_permutation(rng_make(seed, stage, RNG_AUGMENT, "mixup.partner"), step, m->partner, (uint32_t)m->count);
	for (int i = 0; i < m->count; i++)
		m->share[i] = (float)rng_beta(share, step, (uint64_t)i, alpha, alpha);
}

#include "input/text_augment.h"

#include <string.h>

#include "base/rng.h"

/* The k-th of the ids that are no special token's. */
static int32_t ordinary(const struct vocabulary *v, int32_t k)
{
	int32_t below = -1;
	for (int i = 0; i < VOCABULARY_SPECIALS; i++) {
		int32_t next = INT32_MAX; /* the least special id above `below` */
		for (int s = 0; s < VOCABULARY_SPECIALS; s++)
			if (v->special[s] > below && v->special[s] < next)
				next = v->special[s];
		if (next > k)
			break;
		k++;
		below = next;
	}
	return k;
}

static uint32_t count_ordinary(const struct vocabulary *v)
{
	uint32_t n = (uint32_t)v->tokens;
	for (int s = 0; s < VOCABULARY_SPECIALS; s++)
		n -= v->special[s] >= 0;
	return n;
}

/* Block p is of the token at place p: word 0 drops it, word 1 replaces it, words 2 and 3 choose by what. */
static int32_t replaced(
    const struct augment_options *a, const struct vocabulary *v, struct rng_words words, int32_t id, uint32_t others)
{
	if (!((double)rng_uniform(words.w[1]) < a->token_replace) || others == 0)
		return id;
	if (a->token_replace_by == REPLACE_BY_MASK)
		return v->special[VOCABULARY_MASK];
	return ordinary(v, (int32_t)rng_below((uint64_t)words.w[2] << 32 | words.w[3], others));
}

struct change {
	const struct augmentation *g;
	const struct vocabulary *v;
	uint64_t sample;
	const int32_t *ids;
	uint32_t others; /* ids that a token may become */
};

/* Of the tokens at places from .. to - 1; how many are left. */
static int change_text(const struct change *k, int from, int to, int32_t *out)
{
	const struct augment_options *a = k->g->options;
	const struct rng r = rng_make(k->g->seed, k->g->stage, RNG_AUGMENT, "tokens");
	int left = 0;
	for (int pass = 0; pass < 2 && left == 0; pass++) { /* the second one drops nothing */
		for (int p = from; p < to; p++) {
			const struct rng_words words = rng_draw(r, k->g->step, k->sample, (uint32_t)p);
			if (pass == 0 && (double)rng_uniform(words.w[0]) < a->token_drop)
				continue;
			out[left++] = replaced(a, k->v, words, k->ids[p], k->others);
		}
	}
	return left;
}

int text_augment(const struct augmentation *g, const struct vocabulary *v, uint64_t sample, const int32_t *ids, int n,
    int32_t *second, int32_t *out)
{
	const struct change k = {g, v, sample, ids, count_ordinary(v)};
	const int end = n - 1;
	int at = 1, from = 1;
	if (n < 2) {
		memcpy(out, ids, (size_t)n * sizeof(*out));
		return n;
	}
	out[0] = ids[0];
	if (second) {
		const int separator = *second - 1;
		at += change_text(&k, from, separator, out + at);
		out[at++] = ids[separator];
		from = *second;
		*second = at;
	}
	at += change_text(&k, from, end, out + at);
	out[at++] = ids[end];
	return at;
}

/* Dynamic loss scaling for f16 (Micikevicius et al. 2018, section 3.2): small gradients would vanish in f16, so
 * backward starts from `scale` instead of 1, and the update divides by it again. The rule is an inline function, so
 * that a device decides with the same one and no step waits for the host. A compiler that needs another qualifier for
 * its functions defines LOSS_SCALE_FN before the include. */
#ifndef ENGINE_EXEC_LOSS_SCALE_H
#define ENGINE_EXEC_LOSS_SCALE_H

#include <stdbool.h>
#include <stdint.h>

#ifndef LOSS_SCALE_FN
#define LOSS_SCALE_FN static inline
#endif

/* Powers of two, so that scaling rounds nothing. The largest keeps f32 gradients of up to 2^100 finite: without it a
 * loss that has become 0 would let the scale grow for ever. */
#define LOSS_SCALE_START 65536.0f
#define LOSS_SCALE_LEAST 1.0f
#define LOSS_SCALE_MOST  16777216.0f
#define LOSS_SCALE_GOOD  2000 /* clean updates after which the scale doubles */

/* In device memory. */
struct loss_scale {
	float scale;
	int32_t good;      /* clean updates since the scale last changed */
	int32_t skipped;   /* updates left out since the first */
	int32_t exhausted; /* 1: an update was left out at the least scale, where halving cannot help any more */
};

/* What an update does to the scale: all gradients were finite and the update is done, or it is left out. */
LOSS_SCALE_FN void loss_scale_next(struct loss_scale *s, bool finite)
{
	if (!finite) {
		s->exhausted |= s->scale <= LOSS_SCALE_LEAST;
		s->scale = s->scale * 0.5f > LOSS_SCALE_LEAST ? s->scale * 0.5f : LOSS_SCALE_LEAST;
		s->good = 0;
		s->skipped++;
		return;
	}
	s->good++;
	if (s->good < LOSS_SCALE_GOOD)
		return;
	s->scale = s->scale * 2.0f < LOSS_SCALE_MOST ? s->scale * 2.0f : LOSS_SCALE_MOST;
	s->good = 0;
}

#endif

/* What updates leave behind, in device memory: how many were done, the last norm, the scale of the loss. The device
 * decides by the rule below whether an update is done, so that no step waits for the host; the rule is an inline
 * function, so that every device decides by the same one. A compiler that needs another qualifier for its functions
 * defines UPDATE_STATE_FN before the include.
 *
 * An update whose gradient norm is not finite is left out. Dynamic loss scaling for f16 (Micikevicius et al. 2018,
 * section 3.2: small gradients would vanish in f16, so backward starts from `scale` instead of 1 and the update divides
 * by it again) then halves the scale and goes on. Where that cannot help, the state is halted and every later update is
 * left out too: the host learns of it some steps later and finds the weights as they were before the step that failed,
 * which it can run again to say what happened. */
#ifndef ENGINE_EXEC_UPDATE_STATE_H
#define ENGINE_EXEC_UPDATE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#ifndef UPDATE_STATE_FN
#define UPDATE_STATE_FN static inline
#endif

/* Powers of two, so that scaling rounds nothing. The largest keeps f32 gradients of up to 2^100 finite: without it a
 * loss that has become 0 would let the scale grow for ever. */
#define LOSS_SCALE_START 65536.0f
#define LOSS_SCALE_LEAST 1.0f
#define LOSS_SCALE_MOST  16777216.0f
#define LOSS_SCALE_GOOD  2000 /* clean updates after which the scale doubles */

struct update_state {
	double norm;     /* of the last update that was asked for, before clipping */
	int64_t t;       /* updates done */
	float scale;     /* the gradients are this much too large */
	int32_t dynamic; /* 1: the scale is moved by the rule; 0: it stays (1 unless somebody scales) */
	int32_t good;    /* clean updates since the scale last changed */
	int32_t skipped; /* updates left out */
	int32_t halted;  /* 1: see above */
	int32_t unused;
};

/* Takes the norm of an update that is asked for; true: it is to be done. finite: isfinite(norm). */
UPDATE_STATE_FN bool update_state_next(struct update_state *s, double norm, bool finite)
{
	s->norm = norm;
	if (s->halted)
		return false;
	if (!finite) {
		s->halted = !s->dynamic || s->scale <= LOSS_SCALE_LEAST;
		if (s->dynamic)
			s->scale = s->scale * 0.5f > LOSS_SCALE_LEAST ? s->scale * 0.5f : LOSS_SCALE_LEAST;
		s->good = 0;
		s->skipped++;
		return false;
	}
	s->t++;
	s->good++;
	if (!s->dynamic || s->good < LOSS_SCALE_GOOD)
		return true;
	s->scale = s->scale * 2.0f < LOSS_SCALE_MOST ? s->scale * 2.0f : LOSS_SCALE_MOST;
	s->good = 0;
	return true;
}

#endif

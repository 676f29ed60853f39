/* Estimates of time. Nothing is timed here: the rates come from stages that have run. */
#include "pipeline/estimate.h"

#include <stdio.h>

/* Training reaches about this many multiply-accumulates a second per core with f32 AVX-512 or AVX2 kernels; small
 * layers reach a tenth of it. Only a first plan in an empty folder uses it. */
#define MACS_PER_CORE_SECOND 4e10
/* What a stage costs beside its arithmetic: primitives, files, measurements. */
#define STAGE_SECONDS 0.05

/* Adds what stage t has measured. */
static void add_past(const struct chain_stage *t, double *macs, double *seconds)
{
	*macs += t->past_macs;
	*seconds += t->past_seconds;
}

double estimate_seconds(const struct chain *c, const struct chain_stage *s, enum estimate_basis *basis)
{
	double macs = s->past_macs, seconds = s->past_seconds;
	*basis = ESTIMATE_MEASURED;
	if (s->state != STAGE_TO_RUN)
		return 0;
	for (int i = 0; !(macs > 0 && seconds > 0) && i < c->n; i++)
		if (c->stage[i].config->kind == s->config->kind)
			add_past(&c->stage[i], &macs, &seconds);
	/* evaluate and a static quantize spend their time on measurements, which says nothing of training */
	for (int i = 0; !(macs > 0 && seconds > 0) && i < c->n; i++)
		if (c->stage[i].config->kind->trains && !c->stage[i].config->kind->quantizes)
			add_past(&c->stage[i], &macs, &seconds);
	if (macs > 0 && seconds > 0)
		return s->plan.macs * seconds / macs;
	*basis = ESTIMATE_GUESS;
	return STAGE_SECONDS + s->plan.macs / (MACS_PER_CORE_SECOND * (c->threads > 0 ? c->threads : 1));
}

const char *estimate_text(double seconds, char buf[32])
{
	if (seconds < 9.95)
		snprintf(buf, 32, "%.1f s", seconds);
	else if (seconds < 90)
		snprintf(buf, 32, "%.0f s", seconds);
	else if (seconds < 5400)
		snprintf(buf, 32, "%.0f min", seconds / 60);
	else
		snprintf(buf, 32, "%.1f h", seconds / 3600);
	return buf;
}

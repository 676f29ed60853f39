/* The rounds of pruning: in each, weights are masked or units removed, and what is left is fine-tuned. One round is the
 * usual; with more the sparsity is reached in equal steps, which are of the model that the stage began with. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "stages/prune_fisher.h"
#include "stages/prune_note.h"

static int warn_of_empty(struct prune_job *job)
{
	return prune_warn_of_empty(job->run, &job->model.params, &job->empty, &job->n_params);
}

static int apply_magnitude(struct prune_job *job, double sparsity)
{
	return prune_smallest(&job->set, &job->model.params, NULL, prune_scope_of(job->o), sparsity);
}

/* The ramp: before each epoch, mask on. */
static int before_epoch(void *user, int64_t epoch)
{
	struct prune_job *job = user;
	const double share = prune_ramp_at(job->o, job->initial, epoch);
	int rc = job->o->method == PRUNE_MOVEMENT
		     ? movement_mask(&job->movement, &job->model.params, prune_scope_of(job->o), share)
		     : apply_magnitude(job, share);
	return rc ? rc : warn_of_empty(job);
}

/* By scores |w| * ||x||. */
static int apply_wanda(struct prune_job *job, const struct stage_run *run, double sparsity)
{
	const struct prune_options *o = job->o;
	struct channel_norms norms = {0};
	const struct calibration_size size = prune_calibration_size(o, run->data);
	int rc = prune_norms(&job->set, run, &job->model, &size, &norms);
	if (!rc && o->method == PRUNE_NM)
		rc = prune_nm(&job->set, &job->model.params, &norms, (int)o->n, (int)o->m);
	else if (!rc)
		rc = prune_smallest(&job->set, &job->model.params, &norms, prune_scope_of(o), sparsity);
	job->calibrated = size.batches * size.batch;
	if (!rc)
		stage_line(run, "weights scored by Wanda, compared %s, on %" PRId64 " samples of the %s split",
		    o->method == PRUNE_NM ? "in their group" : prune_scope_texts[prune_scope_of(o)], job->calibrated,
		    split_names[size.split]);
	channel_norms_clear(&norms);
	return rc;
}

/* By scores |w * dL/dw|. */
static int apply_taylor(struct prune_job *job, const struct stage_run *run, double sparsity)
{
	const struct prune_options *o = job->o;
	const struct calibration_size size = prune_calibration_size(o, run->data);
	float *score;
	int rc = prune_taylor(&job->set, run, &job->model, &size, &score);
	if (!rc)
		rc = prune_lowest(&job->set, &job->model.params, score, prune_scope_of(o), sparsity);
	job->calibrated = size.batches * size.batch;
	if (!rc)
		stage_line(run, "weights scored by Taylor, compared %s, on %" PRId64 " samples of the %s split",
		    prune_scope_texts[prune_scope_of(o)], job->calibrated, split_names[size.split]);
	mem_free(score);
	return rc;
}

/* Once: which weights masks act on, and what is masked already. */
static int prepare_masks(struct prune_job *job)
{
	const struct prune_options *o = job->o;
	int rc = prune_set_init(&job->set, &job->input, o);
	if (!rc)
		rc = prune_masked_share(&job->set, &job->model.params, &job->initial);
	if (rc || o->method == PRUNE_NM)
		return rc;
	return prune_check_target(&job->set, job->initial, o->sparsity);
}

static int cut_units(struct prune_job *job, const struct stage_run *run, int round)
{
	const struct prune_options *o = job->o;
	const struct calibration_size size = prune_calibration_size(o, run->data);
	struct model_spec want = {0};
	int rc = prune_units_spec(o, &job->input, prune_share(o, round), &want);
	if (!rc)
		rc = prune_units(o, run, &want, &job->model);
	spec_clear(&want);
	if (rc || !prune_is_calibrated(o))
		return rc;
	job->calibrated = size.batches * size.batch;
	stage_line(run, "units scored by %s on %" PRId64 " samples of the %s split", prune_score_names[o->score],
	    job->calibrated, split_names[size.split]);
	return rc;
}

static int prune_once(struct prune_job *job, struct stage_run *run, int round)
{
	const struct prune_options *o = job->o;
	const double share = prune_share_from(o, job->initial, round);
	switch ((enum prune_method)o->method) {
	case PRUNE_STRUCTURED:
		return cut_units(job, run, round);
	case PRUNE_FISHER:
		return prune_fisher(o, run, &job->model, &job->choice);
	case PRUNE_WANDA:
		return apply_wanda(job, run, share);
	case PRUNE_TAYLOR:
		return apply_taylor(job, run, share);
	case PRUNE_NM:
		return prune_is_calibrated(o) ? apply_wanda(job, run, 0)
					      : prune_nm(&job->set, &job->model.params, NULL, (int)o->n, (int)o->m);
	case PRUNE_MOVEMENT: /* nothing has moved yet */
	case PRUNE_MAGNITUDE:
		break;
	}
	return o->ramp == RAMP_ONE_SHOT ? apply_magnitude(job, share) : 0;
}

/* ---- rounds ---- */

static bool has_curve(const struct prune_options *o)
{
	return o->method == PRUNE_STRUCTURED || o->method == PRUNE_WANDA || o->method == PRUNE_TAYLOR ||
	       prune_rounds(o) > 1;
}

/* A row of the curve for what was pruned just now. */
static int begin_row(struct prune_job *job, const struct stage_run *run, int round)
{
	struct prune_row *row = &job->curve.row[round - 1];
	struct metrics m = {0};
	*row = (struct prune_row){.round = round, .target = prune_share(job->o, round)};
	int rc = prune_row_fill(row, &job->input, &job->model);
	if (!rc)
		rc = stage_measure(run, &job->model, model_build, &job->model, SPLIT_VAL, &m);
	if (!rc)
		row->before = prune_figures_of(&m);
	metrics_clear(&m);
	return rc;
}

static int end_row(struct prune_job *job, int round)
{
	job->curve.row[round - 1].after = prune_figures_of(&job->report.result.best);
	job->curve.n = round;
	return prune_curve_write(&job->curve, &job->model.ckpt.task, job->run->out_dir);
}

/* Fine-tunes what the round left. note: of an earlier start, or NULL. */
static int recover(struct prune_job *job, struct stage_run *run, int round, const char *note)
{
	const struct prune_options *o = job->o;
	char *own = NULL;
	int64_t begin, end;
	int rc = 0;
	prune_ramp_epochs(o, &begin, &end);
	if (prune_rounds(o) > 1 && !note) {
		rc = prune_note_write(job, round, &own);
		note = own;
	}
	size_t held = 0;
	if (!rc && o->rewind)
		rc = early_bytes(&job->input, &held);
	if (!rc && o->method == PRUNE_MOVEMENT)
		rc = movement_open(&job->movement, &job->set, &job->model.params);
	struct fit_steps steps = movement_steps(&job->movement);
	steps.host_bytes = movement_bytes(&job->set);
	struct fit_job fit = {.run = run,
	    .train = &o->train,
	    .kd = &o->kd,
	    .model = &job->model,
	    .before_epoch = o->ramp == RAMP_ONE_SHOT ? NULL : before_epoch,
	    .user = job,
	    .min_best_epoch = end,
	    .masks = !prune_removes_units(o),
	    .resume_note = note,
	    .host_bytes = held,
	    .steps = o->method == PRUNE_MOVEMENT ? &steps : NULL,
	    .again = round > 1};
	fit_report_clear(&job->report);
	if (!rc)
		rc = fit_run(&fit, &job->report);
	mem_free(own);
	return rc;
}

/* The masks stay. */
static int rewind_weights(struct prune_job *job, const struct stage_run *run)
{
	const int64_t epoch = job->early.epoch;
	int rc = early_put(&job->early, &job->model.params);
	if (!rc && epoch)
		stage_line(run, "the weights that are left are those after epoch %" PRId64 " again", epoch);
	else if (!rc)
		stage_line(run, "the weights that are left are the initial ones again");
	return rc;
}

static int run_round(struct prune_job *job, int round, const char *note)
{
	struct stage_run run = *job->run;
	char name[128];
	int rc = prune_round_name(job, round, name, sizeof(name));
	run.name = name;
	run.earlier_seconds = 0;
	if (!rc && !note) {
		rc = prune_once(job, &run, round);
		if (!rc)
			rc = warn_of_empty(job);
		if (!rc && job->o->rewind)
			rc = rewind_weights(job, &run);
		if (!rc && has_curve(job->o))
			rc = begin_row(job, &run, round);
	}
	if (!rc && prune_rounds(job->o) > 1)
		stage_line(&run, "round %d of %d: %.2f %% of the parameters gone", round, prune_rounds(job->o),
		    job->curve.row[round - 1].sparsity);
	if (!rc)
		rc = recover(job, &run, round, note);
	job->run->earlier_seconds += run.earlier_seconds;
	return rc || !has_curve(job->o) ? rc : end_row(job, round);
}

int prune_all_rounds(struct prune_job *job)
{
	const struct prune_options *o = job->o;
	const int rounds = prune_rounds(o);
	char *note = NULL;
	int first = 1;
	int rc = prune_removes_units(o) ? 0 : prepare_masks(job);
	if (!rc && rounds > 1)
		rc = resume_note(job->run->resume_path, job->run->key, &note);
	if (!rc && note)
		rc = prune_note_read(job, note, &first);
	for (int round = first; !rc && round <= rounds; round++)
		rc = run_round(job, round, round == first ? note : NULL);
	mem_free(note);
	return rc;
}

void prune_job_clear(struct prune_job *job)
{
	fit_report_clear(&job->report);
	spec_clear(&job->input);
	cJSON_Delete(job->choice);
	mem_free(job->empty);
	prune_set_clear(&job->set);
	early_clear(&job->early);
	movement_clear(&job->movement);
	model_clear(&job->model);
	*job = (struct prune_job){0};
}

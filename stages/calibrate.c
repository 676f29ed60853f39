#include "stages/calibrate.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "exec/memory.h"
#include "stages/partial.h"

struct calibration_size calibration_size(const struct dataset *d, enum split split, int64_t batch, int64_t batches)
{
	const int64_t n = d->n[split], size = batch < n ? batch : n, most = size > 0 ? n / size : 0;
	return (struct calibration_size){
	    .split = split, .batch = (int)size, .batches = batches < most ? batches : most};
}

int calibration_open(struct calibration *c, const struct stage_run *run, const struct calibrated *of,
    const struct calibration_size *size, const char *batch)
{
	const struct session_options o = {.batch = size->batch, .bind = of->keep};
	*c = (struct calibration){.run = run, .of = *of, .size = *size};
	int rc = encoding_open(&c->samples, of->adapter, run->data, size->split);
	if (!rc)
		rc = sampler_init(&c->sampler, run->seed, run->name, c->samples.n);
	if (!rc)
		rc = session_open(&c->session, of->params, of->classes, of->build, of->user, &o);
	if (!rc)
		rc = session_reserve(&c->session, &c->samples);
	if (rc == ERR_NOMEM)
		err_context(rc, "calibrating with %d samples at a time (%s)", size->batch, batch);
	return rc;
}

int calibration_plan(
    const struct calibrated *of, const struct encoding *samples, int batch, size_t *device, size_t *host)
{
	const struct session_options o = {.batch = batch, .bind = of->keep};
	struct session s = {0};
	const struct build_shape largest = encoding_largest(samples, batch);
	struct executor_memory m;
	int rc = session_open(&s, of->params, of->classes, of->build, of->user, &o);
	if (!rc)
		rc = session_plan(&s, samples, &largest, &m, host);
	if (!rc)
		*device = memory_executor(&m);
	session_close(&s);
	return rc;
}

void calibration_close(struct calibration *c)
{
	session_close(&c->session);
	encoding_close(&c->samples);
	sampler_clear(&c->sampler);
	mem_free(c->value);
	*c = (struct calibration){0};
}

/* Where the texts of the batch begin; NULL: a row is a sample. A text has a token or more: capacity and number of texts
 * are equal only where no row is slack. */
static const int32_t *starts_of(const struct session *s, int64_t rows)
{
	const struct feed_tensor *starts = feed_find(&s->feed, "starts");
	return starts && rows != s->batch ? starts->data : NULL;
}

int64_t calibration_valid_rows(const struct session *s, int64_t rows)
{
	const int32_t *starts = starts_of(s, rows);
	return starts ? starts[s->batch] : rows;
}

int calibration_largest(struct calibration *c, struct executor **ex)
{
	const struct build_shape shape = encoding_largest(&c->samples, c->size.batch);
	return exec_family_at(c->session.family, &shape, ex);
}

int calibration_read(struct calibration *c, struct executor *ex, const char *name, struct shape *shape)
{
	const struct graph *g = executor_graph(ex);
	*shape = g->node[graph_find(g, name)].shape;
	size_t n = (size_t)shape_count(*shape);
	if (n > c->capacity) {
		float *value = mem_grow(c->value, c->capacity, n, sizeof(*value));
		if (!value)
			return ERR_NOMEM;
		c->value = value;
		c->capacity = n;
	}
	return executor_output(ex, name, c->value, n * sizeof(*c->value));
}

/* Batch b through the graph: what it computed can be read. */
static int run_batch(struct calibration *c, int64_t b)
{
	struct session *s = &c->session;
	int rc = sampler_take(&c->sampler, b * s->batch, s->batch, s->index);
	return rc ? rc : session_push(s, &c->samples, s->index, s->batch);
}

/* Every value that the collector wants of the batch that was run. */
static int collect_batch(struct calibration *c, const struct collector *to)
{
	int rc = 0;
	for (int i = 0; i < to->n && !rc; i++) {
		struct shape shape;
		rc = calibration_read(c, c->session.ex, to->name(to->user, i), &shape);
		if (rc)
			return rc;
		const int64_t rows = shape.dim[0];
		const struct collected value = {.x = c->value,
		    .rows = rows,
		    .valid = calibration_valid_rows(&c->session, rows),
		    .width = shape_count(shape) / rows,
		    .starts = starts_of(&c->session, rows),
		    .texts = c->session.batch};
		rc = to->add(to->user, i, &value);
	}
	return rc;
}

/* ---- the state between two batches ---- */

/* Of the collector: what it is, what it wants, and of which batches. */
static int make_unit(const struct calibration *c, const struct collector *to, char unit[HASH_HEX])
{
	const struct calibrated *of = &c->of;
	struct str what = {0};
	str_addf(&what, "%s of %lld batches of %d:", to->kind, (long long)c->size.batches, c->size.batch);
	for (int i = 0; i < to->n; i++)
		str_addf(&what, " %s", to->name(to->user, i));
	int rc = what.failed ? ERR_NOMEM
			     : partial_unit_of_model(c->run, str_text(&what), of->params, of->adapter, of->build,
				   of->user, c->size.split, unit);
	str_clear(&what);
	return rc;
}

/* Batches that are done, then what the collector has of them. */
static int keep_state(const struct calibration *c, const struct collector *to, const char *unit, int64_t done)
{
	struct fs_bytes state = {0};
	int rc = to->save(to->user, &state);
	unsigned char *whole = rc ? NULL : mem_alloc(state.size + sizeof(done), 1);
	if (!rc && !whole)
		rc = ERR_NOMEM;
	if (!rc) {
		memcpy(whole, &done, sizeof(done));
		memcpy(whole + sizeof(done), state.data, state.size);
		rc = partial_keep(c->run, unit, whole, state.size + sizeof(done));
	}
	mem_free(whole);
	fs_bytes_clear(&state);
	return rc;
}

static int take_state(const struct calibration *c, const struct collector *to, const char *unit, int64_t *done)
{
	struct fs_bytes b;
	int64_t kept = 0;
	int rc = partial_find(c->run->partial, unit, &b);
	if (rc)
		return rc;
	if (b.size >= sizeof(kept))
		memcpy(&kept, b.data, sizeof(kept));
	if (kept > 0 && kept <= c->size.batches &&
	    to->restore(to->user, b.data + sizeof(kept), b.size - sizeof(kept))) {
		*done = kept;
		stage_line(c->run, "calibration goes on after %lld of %lld batches", (long long)kept,
		    (long long)c->size.batches);
	}
	fs_bytes_clear(&b);
	return 0;
}

static int interrupted(
    const struct calibration *c, const struct collector *to, const char *unit, bool kept, int64_t done)
{
	int rc = kept && done > 0 ? keep_state(c, to, unit, done) : 0;
	return rc ? rc : err_set(ERR_INTERRUPTED, "interrupted while calibrating");
}

int calibration_collect(struct calibration *c, const struct collector *to)
{
	const struct stage_run *run = c->run;
	const int64_t batches = c->size.batches;
	const bool kept = run->partial && to->save && to->restore;
	char unit[HASH_HEX];
	int64_t done = 0;
	int rc = to->begin ? to->begin(to->user) : 0;
	if (!rc && kept)
		rc = make_unit(c, to, unit);
	if (!rc && kept)
		rc = take_state(c, to, unit, &done);
	while (!rc && done < batches) {
		if (run->stop && *run->stop)
			return interrupted(c, to, unit, kept, done);
		rc = run_batch(c, done);
		if (!rc)
			rc = collect_batch(c, to);
		done++;
		if (!rc && kept && partial_is_due(run->partial, run->state_seconds))
			rc = keep_state(c, to, unit, done);
		if (run->progress && run->progress->update)
			run->progress->update(run->progress, "calibrating", (double)done, (double)batches);
	}
	return rc || !to->end ? rc : to->end(to->user);
}

/* Runs parts of a step: call by call, or, on a device that records, by replaying what was recorded before. Kernels read
 * what changes from step to step (inputs, clock, learning rate) from device memory, and shapes and addresses are fixed
 * when calls are placed, so a recording stays good until they are placed anew. */
#include "base/err.h"
#include "exec/internal.h"

static int run_parts(struct executor *ex, unsigned parts)
{
	const struct backend *b = ex->dev.backend;
	int rc = parts & (RUN_CONSTANTS | RUN_PACK) ? exec_constants(ex, parts, NULL) : 0;
	if (!rc && (parts & RUN_FORWARD))
		rc = exec_forward(ex, NULL);
	if (!rc && (parts & RUN_BACKWARD))
		rc = exec_backward(ex, parts & RUN_FIRST);
	if (!rc && (parts & RUN_UPDATE)) {
		rc = b->update(ex->dev.ctx, &ex->shared->job);
		rc = rc ? err_context(rc, "%s: update", b->name) : 0;
	}
	return rc;
}

/* handle stays NULL where the device would rather not record: the parts have run then.
 * The capture ends in any case: a device that goes on capturing could not be used any more. */
static int record(struct executor *ex, unsigned parts, void **handle)
{
	const struct backend *b = ex->dev.backend;
	int rc = b->capture_begin(ex->dev.ctx);
	if (rc == CAPTURE_NONE)
		return run_parts(ex, parts);
	if (!rc) {
		rc = run_parts(ex, parts);
		if (rc)
			b->capture_end(ex->dev.ctx, NULL);
		else
			rc = b->capture_end(ex->dev.ctx, handle);
	}
	return rc ? err_context(rc, "%s: recording a step", b->name) : 0;
}

int exec_upload_clock(struct executor *ex)
{
	struct exec_shared *shared = ex->shared;
	const struct backend *b = ex->dev.backend;
	int rc;
	if (!shared->time_changed || !ex->random)
		return 0;
	rc = b->upload(ex->dev.ctx, (void *)(uintptr_t)shared->clock.time, &shared->time, sizeof(shared->time));
	shared->time_changed = rc != 0;
	return rc;
}

int exec_run(struct executor *ex, unsigned parts)
{
	const struct backend *b = ex->dev.backend;
	struct recording *r;
	int rc = exec_upload_clock(ex);
	if (rc)
		return rc;
	if (parts & RUN_PACK)
		return run_parts(ex, parts);
	r = &ex->recording[parts];
	if (!b->capture_begin || !r->ran) {
		rc = run_parts(ex, parts);
		r->ran = !rc;
		return rc;
	}
	if (!r->handle)
		rc = record(ex, parts, &r->handle);
	if (rc || !r->handle)
		return rc;
	rc = b->replay(ex->dev.ctx, r->handle);
	return rc ? err_context(rc, "%s: recorded step", b->name) : 0;
}

/* What another member of the family has computed for this version is right for this one, too. */
unsigned exec_stale(const struct executor *ex)
{
	const uint64_t now = ex->store->version;
	unsigned parts = ex->packs ? RUN_PACK : 0U;
	if (ex->version == now)
		return 0;
	for (int i = 0; i < ex->g.n; i++) {
		const int at = ex->slot[i].shared[SHARED_CONSTANT];
		if (at >= 0 && ex->shared->value[at].version != now)
			return parts | RUN_CONSTANTS;
	}
	return parts;
}

void exec_ran(struct executor *ex, unsigned parts, int rc)
{
	ex->version = rc ? 0 : ex->store->version;
	for (int i = 0; (parts & RUN_CONSTANTS) && i < ex->g.n; i++)
		if (ex->slot[i].shared[SHARED_CONSTANT] >= 0)
			ex->shared->value[ex->slot[i].shared[SHARED_CONSTANT]].version = ex->version;
}

int exec_run_constants(struct executor *ex)
{
	const unsigned parts = exec_stale(ex);
	const int rc = parts ? exec_run(ex, parts) : 0;
	exec_ran(ex, parts, rc);
	return rc;
}

void exec_forget_recordings(struct executor *ex)
{
	for (int i = 0; i < RUN_COMBINATIONS; i++) {
		if (ex->recording[i].handle)
			ex->dev.backend->capture_free(ex->dev.ctx, ex->recording[i].handle);
		ex->recording[i] = (struct recording){0};
	}
}

/* Runs parts of a step: call by call, or, on a device that records, by replaying what was recorded before. Kernels read
 * what changes from step to step (inputs, clock, learning rate) from device memory, and shapes and addresses are fixed
 * at prepare, so a recording stays good as long as the executor. */
#include "base/err.h"
#include "exec/internal.h"

static int run_parts(struct executor *ex, unsigned parts)
{
	const struct backend *b = ex->dev.backend;
	int rc = parts & RUN_CONSTANTS ? exec_constants(ex, NULL) : 0;
	if (!rc && (parts & RUN_FORWARD))
		rc = exec_forward(ex, NULL);
	if (!rc && (parts & RUN_BACKWARD))
		rc = exec_backward(ex, parts & RUN_FIRST);
	if (!rc && (parts & RUN_UPDATE)) {
		rc = b->update(ex->dev.ctx, &ex->job);
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
	const struct backend *b = ex->dev.backend;
	int rc;
	if (!ex->time_changed || !ex->random)
		return 0;
	rc = b->upload(ex->dev.ctx, (void *)(uintptr_t)ex->clock.time, &ex->time, sizeof(ex->time));
	ex->time_changed = rc != 0;
	return rc;
}

int exec_run(struct executor *ex, unsigned parts)
{
	const struct backend *b = ex->dev.backend;
	struct recording *r = &ex->recording[parts];
	int rc = exec_upload_clock(ex);
	if (rc)
		return rc;
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

unsigned exec_stale(const struct executor *ex)
{
	return ex->version == ex->store->version ? 0 : RUN_CONSTANTS;
}

int exec_run_constants(struct executor *ex)
{
	int rc = exec_stale(ex) ? exec_run(ex, RUN_CONSTANTS) : 0;
	ex->version = rc ? 0 : ex->store->version;
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

#include "stages/quantize_kept.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "stages/partial.h"

int kept_layer_find(struct kept_layer *k, struct quantize_job *job, const char *layer)
{
	const struct quantize_options *o = job->o;
	struct str what = {0};
	str_addf(&what, "correction of %s, rounding %d for %lld, biases %d, %lld batches of %lld", layer, o->rounding,
	    (long long)o->rounding_iterations, o->bias_correction, (long long)o->calibration_batches,
	    (long long)o->calibration_batch_size);
	int rc = what.failed ? ERR_NOMEM
			     : partial_unit_of_model(job->run, str_text(&what), &job->input.params,
				   &job->input.ckpt.adapter, quantize_build_annotated, job,
				   strcmp(o->calibration_split, "train") == 0 ? SPLIT_TRAIN : SPLIT_VAL, k->unit);
	str_clear(&what);
	return rc;
}

static size_t param_bytes(const struct kept_layer *k, const struct quantize_job *job, int i)
{
	const struct param *p = k->param[i] ? params_find(&job->input.params, k->param[i]) : NULL;
	return p ? tensor_bytes(&p->value) : 0;
}

static size_t payload(const struct kept_layer *k, const struct quantize_job *job)
{
	return sizeof(*k->done) + param_bytes(k, job, 0) + param_bytes(k, job, 1);
}

int kept_layer_take(const struct kept_layer *k, struct quantize_job *job, bool *taken)
{
	struct fs_bytes b = {0};
	*taken = false;
	if (!k->unit[0])
		return 0;
	int rc = partial_find(job->run->partial, k->unit, &b);
	if (!rc && b.size == payload(k, job)) {
		const unsigned char *at = b.data + sizeof(*k->done);
		memcpy(k->done, b.data, sizeof(*k->done));
		for (int i = 0; i < 2 && !rc; i++) {
			if (k->param[i])
				rc = params_write(&job->input.params, k->param[i], at);
			at += param_bytes(k, job, i);
		}
		*taken = true;
	}
	fs_bytes_clear(&b);
	return rc;
}

int kept_layer_keep(const struct kept_layer *k, struct quantize_job *job)
{
	if (!k->unit[0])
		return 0;
	const size_t n = payload(k, job);
	unsigned char *bytes = mem_alloc(n, 1), *at = bytes + sizeof(*k->done);
	int rc = bytes ? 0 : ERR_NOMEM;
	if (!rc)
		memcpy(bytes, k->done, sizeof(*k->done));
	for (int i = 0; i < 2 && !rc; i++) {
		if (k->param[i])
			rc = params_read(&job->input.params, k->param[i], at);
		at += param_bytes(k, job, i);
	}
	if (!rc)
		rc = partial_keep(job->run, k->unit, bytes, n);
	mem_free(bytes);
	return rc;
}

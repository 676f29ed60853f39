/* Runs cases on two devices and compares. What is tried with each case: forward twice on the same step (nothing may
 * carry over) and, in TRAIN, backward with all gradients overwritten, with all accumulated, and with each one alone. A
 * wish for in-place output is granted in a further run. A kernel that rounds its output to half precision is
 * run once more for each type. */
#include "ops/op_suite.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "ops/op_cases.h"
#include "quant/arith.h"
#include "ref/ref.h"

bool op_suite_once;

static const struct device reference = {.backend = &ref_backend};

/* Compares one tensor of two steps. NaN equals nothing, not even itself. */
static int compare(const struct op_step *a, const struct tensor *ta, const struct op_step *b, const struct tensor *tb,
    double tol, const char *what)
{
	int64_t n = shape_count(ta->shape), worst = -1;
	double *x = mem_alloc((size_t)n, sizeof(*x)), *y = mem_alloc((size_t)n, sizeof(*y));
	double scale = 0, error = 0;
	int rc = x && y ? 0 : ERR_NOMEM;
	if (!rc)
		rc = op_step_read(a, ta, x);
	if (!rc)
		rc = op_step_read(b, tb, y);
	for (int64_t i = 0; !rc && i < n; i++)
		scale = isfinite(x[i]) ? fmax(scale, fabs(x[i])) : scale;
	for (int64_t i = 0; !rc && i < n; i++) {
		double d = x[i] == y[i] ? 0 : fabs(x[i] - y[i]);
		if (worst < 0 || !(d <= error)) {
			worst = i;
			error = d;
		}
		if (isnan(d))
			break;
	}
	if (!rc && !(error <= tol * scale))
		rc = err_set(ERR_FAIL,
		    "%s[%lld of %lld] is %.9g, must be %.9g (error %.2g of the largest value, allowed %.2g)", what,
		    (long long)worst, (long long)n, y[worst], x[worst], error / scale, tol);
	mem_free(x);
	mem_free(y);
	return rc;
}

static int compare_gradients(const struct op_case *c, const struct op_step *a, const struct op_step *b)
{
	for (int i = 0; i < c->n_in; i++) {
		char what[32];
		snprintf(what, sizeof(what), "%s %d", a->s.accumulate[i] ? "added gradient" : "gradient", i);
		int rc = a->s.want[i] ? compare(a, &a->s.din[i], b, &b->s.din[i], c->tol_grad, what) : 0;
		if (rc)
			return rc;
	}
	return 0;
}

static int run_variant(const struct op_case *c, struct device dev, const struct op_host *h, struct op_options opt)
{
	struct op_step a = {0}, b = {0};
	int rounds = opt.inplace || op_suite_once ? 1 : 2; /* in place the input is gone after the first */
	int rc = op_step_open(&b, dev, c, h, opt);
	if (opt.inplace && !rc && b.s.inplace < 0)
		goto out; /* no wish */
	if (!rc)
		rc = op_step_open(&a, reference, c, h,
		    (struct op_options){.want = opt.want, .accumulate = opt.accumulate, .shared = opt.shared});
	if (!rc)
		rc = op_step_forward(&a);
	if (!rc && opt.want)
		rc = op_step_backward(&a, h);
	for (int i = 0; !rc && i < rounds; i++) {
		rc = op_step_forward(&b);
		if (!rc && opt.want)
			rc = op_step_backward(&b, h);
		if (!rc)
			rc = compare(&a, &a.s.out, &b, &b.s.out, c->tol, i ? "second output" : "output");
		if (!rc && opt.want)
			rc = compare_gradients(c, &a, &b);
		if (!rc)
			rc = op_step_check_inputs(&b, h);
	}
out:
	op_step_close(&a);
	op_step_close(&b);
	return rc;
}

/* The rounded output must be the output rounded, bit for bit. */
static int compare_rounded(const struct op_step *o)
{
	const enum dtype t = o->s.rounded.dtype;
	int64_t n = shape_count(o->s.out.shape);
	double *x = mem_alloc((size_t)n, sizeof(*x)), *y = mem_alloc((size_t)n, sizeof(*y));
	int rc = x && y ? 0 : ERR_NOMEM;
	if (!rc)
		rc = op_step_read(o, &o->s.out, x);
	if (!rc)
		rc = op_step_read(o, &o->s.rounded, y);
	for (int64_t i = 0; !rc && i < n; i++) {
		float v = (float)x[i], want = t == DT_F16 ? f16_to_f32(f32_to_f16(v)) : bf16_to_f32(f32_to_bf16(v));
		if ((double)want != y[i])
			rc = err_set(ERR_FAIL, "output[%lld of %lld] is %.9g, as %s %.9g", (long long)i, (long long)n,
			    x[i], dtype_name(t), y[i]);
	}
	mem_free(x);
	mem_free(y);
	return rc;
}

/* With the output's cast offered, beside one without. */
static int run_rounded(const struct op_case *c, struct device dev, const struct op_host *h, enum dtype t)
{
	struct op_step plain = {0}, both = {0};
	int rc = op_step_open(&both, dev, c, h, (struct op_options){.rounded = t, .inplace = c->mode == EXEC_INFER});
	if (rc || !both.s.rounds)
		goto out;
	rc = op_step_open(&plain, dev, c, h, (struct op_options){0});
	if (!rc)
		rc = op_step_forward(&plain);
	if (!rc)
		rc = op_step_forward(&both);
	if (!rc)
		rc = compare(&plain, &plain.s.out, &both, &both.s.out, 0, "output beside a rounded one");
	if (!rc)
		rc = compare_rounded(&both);
out:
	op_step_close(&plain);
	op_step_close(&both);
	return rc;
}

/* The integers beside the output must be the output quantized. */
static int compare_quantized(const struct op_step *o, float step)
{
	int64_t n = shape_count(o->s.out.shape);
	double *x = mem_alloc((size_t)n, sizeof(*x)), *y = mem_alloc((size_t)n, sizeof(*y));
	int rc = x && y ? 0 : ERR_NOMEM;
	if (!rc)
		rc = op_step_read(o, &o->s.out, x);
	if (!rc)
		rc = op_step_read(o, &o->s.quantized, y);
	for (int64_t i = 0; !rc && i < n; i++) {
		int want = quant_round((float)x[i], step, o->quantize.attr.q);
		if (want != (int)y[i])
			rc = err_set(ERR_FAIL, "output[%lld of %lld] is %.9g, of step %g that is %d, not %d",
			    (long long)i, (long long)n, x[i], (double)step, want, (int)y[i]);
	}
	mem_free(x);
	mem_free(y);
	return rc;
}

/* With the output's integers asked for, beside one without. */
static int run_quantized(const struct op_case *c, struct device dev, const struct op_host *h, enum dtype t)
{
	const struct op_options opt = {.rounded = t, .step = 0.013f, .inplace = true};
	struct op_step plain = {0}, both = {0};
	int rc = op_step_open(&both, dev, c, h, opt);
	if (rc || !both.s.quantizes)
		goto out;
	rc = op_step_open(&plain, dev, c, h, (struct op_options){0});
	if (!rc)
		rc = op_step_forward(&plain);
	if (!rc)
		rc = op_step_forward(&both);
	if (!rc)
		rc = compare(&plain, &plain.s.out, &both, &both.s.out, 0, "output beside its integers");
	if (!rc)
		rc = compare_quantized(&both, opt.step);
out:
	op_step_close(&plain);
	op_step_close(&both);
	return rc;
}

static int run_case(const struct op_case *c, struct device dev)
{
	unsigned all = c->mode == EXEC_TRAIN ? op_case_wants(c) : 0;
	struct op_host h;
	int rc = op_host_fill(&h, c);
	if (rc)
		return rc;
	rc = run_variant(c, dev, &h, (struct op_options){.want = all});
	if (!rc)
		rc = run_rounded(c, dev, &h, DT_BF16);
	if (!rc && c->mode == EXEC_INFER)
		rc = run_quantized(c, dev, &h, DT_U8);
	if (op_suite_once)
		goto out;
	if (!rc && c->mode == EXEC_INFER)
		rc = run_quantized(c, dev, &h, DT_S8);
	if (!rc)
		rc = run_rounded(c, dev, &h, DT_F16);
	if (!rc)
		rc = run_variant(c, dev, &h, (struct op_options){.want = all, .inplace = true});
	if (!rc && all)
		rc = run_variant(c, dev, &h, (struct op_options){.want = all, .accumulate = all});
	if (!rc && all && (c->op == OP_ADD || c->op == OP_ATTENTION)) /* of one value twice */
		rc = run_variant(c, dev, &h, (struct op_options){.want = all, .accumulate = 2, .shared = true});
	for (int i = 0; !rc && all && i < c->n_in; i++) {
		unsigned one = all & 1u << i;
		if (one && one != all)
			rc = run_variant(c, dev, &h, (struct op_options){.want = one});
	}
out:
	op_host_clear(&h);
	return rc;
}

/* What the device says that it lacks. */
static void ask_limits(struct device dev, struct op_list *l)
{
	const struct device_traits *t = device_traits(dev);
	l->f16 = t->f16;
	l->tf32 = t->tf32;
	l->bf16 = t->bf16;
}

int op_suite_run(struct device dev, const char *filter)
{
	struct op_list l = {0};
	int run = 0, failed = 0, rc = 0;
	ask_limits(dev, &l);
	op_cases_float(&l);
	op_cases_tokens(&l);
	op_cases_quantize(&l);
	op_cases_integer(&l);
	for (int i = 0; !l.failed && i < l.n; i++) {
		if (filter && !str_match(filter, l.item[i].name))
			continue;
		run++;
		rc = run_case(&l.item[i], dev);
		if (!rc)
			continue;
		failed++;
		fprintf(stderr, "%s: %s: %s\n", dev.backend->name, l.item[i].name, err_message());
	}
	rc = l.failed ? ERR_NOMEM : 0;
	op_list_clear(&l);
	if (!rc && run == 0)
		rc = err_set(ERR_FAIL, "no case matches '%s'", filter ? filter : "*");
	if (!rc && failed)
		rc = err_set(ERR_FAIL, "%d of %d cases failed", failed, run);
	return rc;
}

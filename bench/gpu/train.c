/* Speed of whole training steps on the first GPU: upload, forward, backward, AdamW with clipping, on random data, as
 * Markdown. Two tables: whole steps (recorded, and queued without waiting in between; time is taken over all of them),
 * and where the time of one step goes by op (call by call, each waited for, so that small ones look larger than they
 * are).
 *
 *   bench_gpu_train [STEPS]
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bench/step.h"
#include "cuda/cuda.h"
#include "graph/pass.h"

struct job {
	const char *model;
	int batch;
	const char *precision; /* "fp32", "tf32", "bf16" or "fp16" */
};

static const struct job jobs[] = {{"mlp", 128, "fp32"}, {"mlp", 4096, "fp32"}, {"mlp", 4096, "bf16"},
    {"cnn", 64, "fp32"}, {"cnn", 64, "tf32"}, {"cnn", 64, "bf16"}, {"cnn", 64, "fp16"}, {"cnn", 512, "fp32"},
    {"cnn", 512, "tf32"}, {"cnn", 512, "bf16"}, {"resnet", 64, "fp32"}, {"resnet", 64, "tf32"}, {"resnet", 64, "bf16"},
    {"resnet", 256, "bf16"}};

/* Dense peak in TFLOP/s by the makers' data sheets: f32 without tensor cores, the others with. */
static const struct {
	const char *gpu;
	double f32, tf32, half;
} peaks[] = {{"H200", 66.9, 494.7, 989.5}, {"H100", 66.9, 494.7, 989.5}, {"A100", 19.5, 156, 312}};

/* The backend with a stop watch around each kernel call. */
static struct kernel timed_kernel[OP_COUNT];
static struct backend timed_backend;
static double forward_seconds[OP_COUNT], backward_seconds[OP_COUNT], update_seconds;

static int timed(int (*call)(struct call *), struct call *s, double *seconds)
{
	int rc = cuda_backend.sync(s->ctx);
	const double before = clock_now();
	if (!rc)
		rc = call(s);
	if (!rc)
		rc = cuda_backend.sync(s->ctx);
	seconds[s->node->op] += clock_now() - before;
	return rc;
}

static int timed_forward(struct call *s)
{
	return timed(cuda_backend.kernels[s->node->op]->forward, s, forward_seconds);
}

static int timed_backward(struct call *s)
{
	return timed(cuda_backend.kernels[s->node->op]->backward, s, backward_seconds);
}

static int timed_update(void *ctx, const struct update_job *job)
{
	const double before = clock_now();
	int rc = cuda_backend.update(ctx, job);
	if (!rc)
		rc = cuda_backend.sync(ctx);
	update_seconds += clock_now() - before;
	return rc;
}

static const struct backend *make_timed_backend(void)
{
	timed_backend = cuda_backend;
	for (int op = 0; op < OP_COUNT; op++) {
		if (!cuda_backend.kernels[op])
			continue;
		timed_kernel[op] = *cuda_backend.kernels[op];
		timed_backend.kernels[op] = &timed_kernel[op];
		timed_kernel[op].forward = timed_forward;
		timed_kernel[op].backward = timed_kernel[op].backward ? timed_backward : NULL;
	}
	timed_backend.update = timed_update;
	timed_backend.capture_begin = NULL; /* a recording has no calls to wait for */
	return &timed_backend;
}

static bool is(const struct job *j, const char *precision)
{
	return strcmp(j->precision, precision) == 0;
}

static int make_graph(struct graph *g, const struct job *j)
{
	const struct model_spec *spec = model_find(j->model);
	struct graph f32;
	graph_init(&f32);
	int rc = spec ? 0 : ERR_CONFIG;
	if (!rc) {
		const struct build_shape shape = model_shape(j->model, spec, j->batch);
		rc = spec_build(&f32, spec, &shape);
	}
	if (!rc)
		rc = graph_add_ce(&f32, 0.0f);
	if (!rc)
		rc = is(j, "fp32")   ? graph_copy(g, &f32)
		     : is(j, "tf32") ? pass_tf32(&f32, g)
				     : pass_autocast(&f32, is(j, "bf16") ? DT_BF16 : DT_F16, g);
	graph_clear(&f32);
	return rc;
}

static int job_make(struct built *b, struct device dev, const struct job *j)
{
	struct graph g;
	graph_init(&g);
	int rc = make_graph(&g, j);
	if (!rc)
		rc = built_make(b, dev, &g, j->model, model_find(j->model)->classes, is(j, "fp16"));
	graph_clear(&g);
	return rc;
}

/* Forward, gradients of x and of w, two operations per multiply-accumulate. */
static double flops_of(const struct built *b)
{
	return b->ex ? 3.0 * 2.0 * (double)graph_macs(executor_graph(b->ex)) : 0;
}

/* Seconds per step of `steps` steps after a warm-up, and the launches of one. */
static int measure(struct built *b, int steps, double *seconds, uint64_t *launches)
{
	int rc = 0;
	for (int i = 0; !rc && i < 10; i++)
		rc = train_step(b);
	const struct device *dev = &b->store.dev;
	if (!rc)
		rc = dev->backend->sync(dev->ctx);
	const double before = clock_now();
	const uint64_t launched = cuda_launches();
	for (int i = 0; !rc && i < steps; i++)
		rc = train_step(b);
	if (!rc)
		rc = dev->backend->sync(dev->ctx);
	*seconds = (clock_now() - before) / steps;
	*launches = (cuda_launches() - launched) / (uint64_t)steps;
	return rc;
}

static double peak_of(const char *gpu, const struct job *j)
{
	for (size_t i = 0; i < sizeof(peaks) / sizeof(*peaks); i++)
		if (strstr(gpu, peaks[i].gpu))
			return is(j, "tf32") ? peaks[i].tf32 : is(j, "fp32") ? peaks[i].f32 : peaks[i].half;
	return 0;
}

static int whole_steps(struct device dev, const char *gpu, int steps)
{
	printf("| model | batch | precision | ms per step | samples/s | TFLOP/s | of peak | launches |\n"
	       "| --- | --- | --- | --- | --- | --- | --- | --- |\n");
	int rc = 0;
	for (size_t i = 0; !rc && i < sizeof(jobs) / sizeof(*jobs); i++) {
		struct built b = {0};
		double seconds = 0;
		uint64_t launches = 0;
		rc = job_make(&b, dev, &jobs[i]);
		if (!rc)
			rc = measure(&b, steps, &seconds, &launches);
		const double tflops = 1e-12 * flops_of(&b) / seconds, peak = peak_of(gpu, &jobs[i]);
		char share[16] = "unknown";
		if (peak > 0)
			snprintf(share, sizeof(share), "%.1f %%", 100 * tflops / peak);
		if (!rc)
			printf("| %s | %d | %s | %.3f | %.0f | %.2f | %s | %llu |\n", jobs[i].model, jobs[i].batch,
			    jobs[i].precision, 1e3 * seconds, jobs[i].batch / seconds, tflops, share,
			    (unsigned long long)launches);
		fflush(stdout);
		built_free(&b);
	}
	return rc;
}

static int by_op(struct device dev, const struct job *j, int steps)
{
	struct built b = {0};
	double seconds, sum = 0;
	uint64_t launches;
	int rc = job_make(&b, dev, j);
	if (!rc)
		rc = train_step(&b);
	memset(forward_seconds, 0, sizeof(forward_seconds));
	memset(backward_seconds, 0, sizeof(backward_seconds));
	update_seconds = 0;
	if (!rc)
		rc = measure(&b, steps, &seconds, &launches);
	const int runs = steps + 10;
	for (int op = 0; op < OP_COUNT; op++)
		sum += forward_seconds[op] + backward_seconds[op];
	sum += update_seconds;
	printf("\n%s, batch %d, %s: us per step\n\n| op | forward | backward | share |\n| --- | --- | --- | --- |\n",
	    j->model, j->batch, j->precision);
	for (int op = 0; op < OP_COUNT; op++) {
		const double f = forward_seconds[op], w = backward_seconds[op];
		if (f + w > 0)
			printf("| %s | %.1f | %.1f | %.1f %% |\n", op_info((enum op)op)->name, 1e6 * f / runs,
			    1e6 * w / runs, 100 * (f + w) / sum);
	}
	printf("| update | %.1f | | %.1f %% |\n", 1e6 * update_seconds / runs, 100 * update_seconds / sum);
	built_free(&b);
	return rc;
}

int main(int argc, char **argv)
{
	const int steps = argc > 1 ? atoi(argv[1]) : 100;
	struct device dev = {.backend = &cuda_backend};
	cJSON *about = cJSON_CreateObject();
	int rc = steps > 0 && about ? dev.backend->open(&dev.ctx, &(struct open_options){0})
				    : err_set(ERR_CONFIG, "usage: bench_gpu_train [STEPS]");
	if (!rc)
		rc = dev.backend->describe(dev.ctx, about);
	const char *gpu = cJSON_GetStringValue(cJSON_GetObjectItem(about, "gpu"));
	if (!rc)
		rc = whole_steps(dev, gpu ? gpu : "", steps);
	dev.backend = make_timed_backend();
	for (size_t i = 0; !rc && i < sizeof(jobs) / sizeof(*jobs); i++)
		if (jobs[i].batch == 64 && !is(&jobs[i], "fp16"))
			rc = by_op(dev, &jobs[i], steps);
	if (rc)
		fprintf(stderr, "bench_gpu_train: %s\n", err_message());
	cJSON_Delete(about);
	if (dev.ctx)
		dev.backend->close(dev.ctx);
	return rc ? err_exit_status(rc) : 0;
}

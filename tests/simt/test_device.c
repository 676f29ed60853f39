/* The CUDA backend on machines that lack something, and with every call made to fail in turn: one clear error, nothing
 * leaked, and the next run is well again. */
#include "cuda/cuda.h"
#include "exec/family.h"
#include "exec/readback.h"
#include "exec/rig.h"
#include "simt.h"

#include <math.h>

#define BATCH 4

/* The first failure's text; later calls of a clean-up must not replace it. */
static char message[512];

static int note(int rc)
{
	if (rc)
		snprintf(message, sizeof(message), "%s", err_message());
	return rc;
}

/* Something for every input of the graph. */
static int feed(struct executor *ex)
{
	const struct graph *g = executor_graph(ex);
	int rc = 0;
	for (int i = 0; !rc && i < g->n; i++) {
		float values[BATCH * 3 * 7 * 6] = {0}; /* labels: all of class 0 */
		size_t n = (size_t)shape_count(g->node[i].shape);
		if (g->node[i].op != OP_INPUT)
			continue;
		assert_true(n <= sizeof(values) / sizeof(values[0]));
		if (g->node[i].dtype == DT_F32)
			rig_random(values, n, g->node[i].name);
		rc = note(executor_input(ex, g->node[i].name, values, n * sizeof(values[0])));
	}
	return rc;
}

/* A step as the trainer does it: the loss and the state are read while later steps run. */
static int step(struct executor *ex, struct optimizer *opt, struct readback *back, uint64_t number)
{
	const struct graph *g = executor_graph(ex);
	executor_set_clock(ex, number, 0);
	opt->args.lr *= 0.5f;
	int rc = note(executor_step(ex, false, opt));
	if (!rc)
		rc = note(executor_fetch(ex, g->node[g->loss].name, back, 0, 0));
	if (!rc)
		rc = note(optimizer_fetch_state(opt, back, 1, 0));
	return rc;
}

static int drain(struct readback *back)
{
	int rc = 0;
	while (!rc && back->n > 0) {
		struct reading r;
		float loss;
		rc = note(readback_pop(back, &r));
		memcpy(&loss, r.value, sizeof(loss));
		assert_true(rc || r.what == 1 || isfinite(loss));
	}
	return rc;
}

/* Call by call, recorded, replayed; then the readings. */
static int steps(struct executor *ex, struct optimizer *opt)
{
	struct readback back;
	int rc = 0;
	readback_init(&back, opt->store->dev);
	for (uint64_t i = 0; !rc && i < 3; i++) {
		rc = feed(ex);
		if (!rc)
			rc = step(ex, opt, &back, i);
	}
	return rc ? rc : drain(&back);
}

static int train_on(struct device dev, struct model_spec spec)
{
	struct update_args args = rig_adamw();
	struct executor_options o = {.mode = EXEC_TRAIN, .stage = "test"};
	struct param_store store;
	struct optimizer opt;
	struct executor *ex = NULL;
	struct graph g;
	rig_graph(&g, spec, BATCH, true);
	params_init(&store, dev);
	optimizer_init(&opt, &store, &args);
	int rc = note(params_add_graph(&store, &g, 5));
	if (!rc)
		rc = note(executor_create(&ex, &g, &store, &o));
	if (!rc)
		rc = note(executor_prepare(ex));
	if (!rc)
		rc = steps(ex, &opt);
	executor_free(ex);
	optimizer_clear(&opt);
	params_clear(&store);
	graph_clear(&g);
	return rc;
}

/* Opens, trains three steps, closes. */
static int whole_on(int gpu, struct model_spec spec)
{
	struct device dev = {.backend = &cuda_backend};
	int rc = note(cuda_backend.open(&dev.ctx, &(struct open_options){.gpu = gpu}));
	if (!rc) {
		rc = train_on(dev, spec);
		cuda_backend.close(dev.ctx);
	}
	return rc;
}

static int whole(struct model_spec spec)
{
	return whole_on(0, spec);
}

static int reset(void **state)
{
	(void)state;
	simt_reset();
	mem_fail_at(0);
	return simt_live_allocations() == 0 ? 0 : -1;
}

static void must_say(int rc, int code, const char *text)
{
	assert_int_equal(rc, code);
	if (!strstr(message, text))
		fail_msg("must say '%s', says '%s'", text, message);
}

static void device__what_a_machine_lacks_is_said(void **state)
{
	(void)state;
	simt_set_devices(0);
	must_say(whole(rig_mlp()), ERR_DEVICE, "no usable GPU: no CUDA-capable device is detected");
	simt_reset();
	simt_set_driver(11080);
	must_say(whole(rig_mlp()), ERR_DEVICE, "CUDA driver version is insufficient for CUDA runtime version");
	assert_non_null(strstr(message, "driver 11.8"));
	simt_set_driver(0);
	must_say(whole(rig_mlp()), ERR_DEVICE, "no usable GPU");
	simt_reset();
	simt_set_capability(7, 5);
	must_say(whole(rig_mlp()), ERR_DEVICE, "compute capability 7.5");
	simt_reset();
	simt_fail_call("cudaGetDeviceCount", cudaErrorUnknown);
	must_say(whole(rig_mlp()), ERR_DEVICE, "no usable GPU: unknown error");
}

static void device__a_wrong_index_is_said_with_what_there_is(void **state)
{
	(void)state;
	must_say(
	    whole_on(2, rig_mlp()), ERR_DEVICE, "there is no GPU 2: 1 GPU is visible (CUDA_VISIBLE_DEVICES chooses)");
	simt_set_devices(3);
	must_say(whole_on(3, rig_mlp()), ERR_DEVICE, "there is no GPU 3: 3 GPUs are visible");
	must_say(whole_on(-1, rig_mlp()), ERR_DEVICE, "there is no GPU -1");
}

/* The runtime answers every use of another device's stream or memory with an error. */
static void device__all_work_is_on_the_gpu_that_was_chosen(void **state)
{
	struct device dev = {.backend = &cuda_backend};
	int current = -1;
	(void)state;
	simt_set_devices(3);
	assert_int_equal(whole_on(2, rig_cnn()), 0);
	assert_int_equal(cuda_backend.open(&dev.ctx, &(struct open_options){.gpu = 1}), 0);
	assert_int_equal(cudaGetDevice(&current), 0);
	assert_int_equal(current, 1);
	cJSON *about = cJSON_CreateObject(), *list = cJSON_CreateArray();
	assert_int_equal(cuda_backend.describe(dev.ctx, about), 0);
	assert_int_equal(cJSON_GetObjectItem(about, "index")->valueint, 1);
	assert_int_equal(cuda_backend.list(list), 0);
	assert_int_equal(cudaGetDevice(&current), 0);
	assert_int_equal(current, 1); /* listing goes through all and comes back */
	assert_int_equal(cJSON_GetArraySize(list), 3);
	for (int i = 0; i < 3; i++) {
		const cJSON *gpu = cJSON_GetArrayItem(list, i);
		assert_int_equal(cJSON_GetObjectItem(gpu, "index")->valueint, i);
		assert_string_equal(cJSON_GetObjectItem(gpu, "compute_capability")->valuestring, "9.0");
		double used = cJSON_GetObjectItem(gpu, "memory_total")->valuedouble -
			      cJSON_GetObjectItem(gpu, "memory_free")->valuedouble;
		assert_true(i == 1 ? used > 1e6 : used == 0);
		assert_true(cJSON_IsTrue(cJSON_GetObjectItem(gpu, "usable")));
	}
	cJSON_Delete(about);
	cJSON_Delete(list);
	cuda_backend.close(dev.ctx);
}

static void device__the_list_says_why_a_gpu_cannot_be_used(void **state)
{
	cJSON *list = cJSON_CreateArray();
	(void)state;
	simt_set_devices(2);
	simt_set_capability(7, 5);
	assert_int_equal(cuda_backend.list(list), 0);
	assert_int_equal(cJSON_GetArraySize(list), 2);
	const cJSON *gpu = cJSON_GetArrayItem(list, 1);
	assert_true(cJSON_IsFalse(cJSON_GetObjectItem(gpu, "usable")));
	assert_non_null(strstr(cJSON_GetObjectItem(gpu, "reason")->valuestring, "capability 7.5, at least 8.0"));
	cJSON_Delete(list);
	list = cJSON_CreateArray();
	simt_set_capability(9, 0);
	simt_fail_call("cudaMemGetInfo", cudaErrorUnknown); /* of the first GPU alone */
	assert_int_equal(cuda_backend.list(list), 0);
	gpu = cJSON_GetArrayItem(list, 0);
	assert_int_equal(cJSON_GetObjectItem(gpu, "index")->valueint, 0);
	assert_non_null(strstr(cJSON_GetObjectItem(gpu, "reason")->valuestring, "unknown error"));
	assert_true(cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetArrayItem(list, 1), "usable")));
	cJSON_Delete(list);
	simt_set_devices(0);
	list = cJSON_CreateArray();
	assert_int_equal(cuda_backend.list(list), ERR_DEVICE);
	cJSON_Delete(list);
}

static void device__full_memory_names_both_numbers(void **state)
{
	struct device dev = {.backend = &cuda_backend};
	(void)state;
	assert_int_equal(cuda_backend.open(&dev.ctx, &(struct open_options){0}), 0);
	simt_set_memory((size_t)100 << 20);
	assert_null(cuda_backend.alloc(dev.ctx, (size_t)80 << 20));
	assert_non_null(strstr(err_message(), "80.0 MiB wanted"));
	assert_non_null(strstr(err_message(), "of 100.0 MiB free"));
	void *p = cuda_backend.alloc(dev.ctx, (size_t)1 << 20); /* and goes on */
	assert_non_null(p);
	cuda_backend.free(dev.ctx, p);
	cuda_backend.close(dev.ctx);
}

/* Less than is free: what the runtime loads later is kept back. */
static void device__says_what_is_available(void **state)
{
	struct device dev = {.backend = &cuda_backend};
	size_t before, after, total, mib = (size_t)1 << 20;
	(void)state;
	assert_int_equal(cuda_backend.open(&dev.ctx, &(struct open_options){0}), 0);
	simt_set_memory(300 * mib);
	assert_int_equal(cuda_backend.memory(dev.ctx, &before, &total), 0);
	assert_int_equal(total, 300 * mib);
	assert_true(before > 100 * mib && before <= 240 * mib);
	void *p = cuda_backend.alloc(dev.ctx, 50 * mib);
	assert_int_equal(cuda_backend.memory(dev.ctx, &after, &total), 0);
	assert_int_equal(before - after, 50 * mib);
	cuda_backend.free(dev.ctx, p);
	simt_set_memory(60 * mib);
	assert_int_equal(cuda_backend.memory(dev.ctx, &after, &total), 0);
	assert_int_equal(after, 0);
	simt_fail_call("cudaMemGetInfo", cudaErrorUnknown);
	assert_int_equal(cuda_backend.memory(dev.ctx, &after, &total), ERR_DEVICE);
	cuda_backend.close(dev.ctx);
}

static void device__an_executor_that_does_not_fit_names_both_numbers(void **state)
{
	(void)state;
	simt_set_memory((size_t)100 << 20);
	must_say(whole(rig_cnn()), ERR_NOMEM, "cuda: an executor needs ");
	assert_non_null(strstr(message, " of 100.0 MiB are available"));
	simt_reset();
	assert_int_equal(whole(rig_cnn()), 0);
}

/* Names of kernels, in order of their first run. */
struct names {
	char name[64][96];
	int n;
};

static void collect(const char *name, void *user)
{
	struct names *all = user;
	for (int i = 0; i < all->n; i++)
		if (strcmp(all->name[i], name) == 0)
			return;
	if (all->n < 64 && strncmp(name, "cuda", 4) != 0 && strncmp(name, "cublas", 6) != 0)
		snprintf(all->name[all->n++], sizeof(all->name[0]), "%s", name);
}

static void device__a_fault_of_any_kernel_ends_the_step_with_its_reason(void **state)
{
	static struct names all;
	(void)state;
	simt_trace(collect, &all);
	assert_int_equal(whole(rig_cnn()), 0);
	simt_trace(NULL, NULL);
	assert_true(all.n >= 10);
	for (int i = 0; i < all.n; i++) {
		simt_fail_kernel(all.name[i], cudaErrorIllegalAddress);
		must_say(whole(rig_cnn()), ERR_DEVICE, "an illegal memory access was encountered");
		simt_reset();
	}
	assert_int_equal(whole(rig_mlp()), 0);
}

static void device__each_call_may_fail(void **state)
{
	struct simt_counts c;
	uint64_t calls, failed = 0;
	(void)state;
	simt_reset_counts();
	assert_int_equal(whole(rig_mlp()), 0);
	simt_get_counts(&c);
	calls = c.calls;
	assert_true(calls > 50);
	for (uint64_t n = 1; n <= calls; n++) {
		message[0] = 0;
		simt_fail_at(n, cudaErrorUnknown);
		int rc = whole(rig_mlp());
		simt_fail_at(0, cudaSuccess);
		failed += rc != 0; /* waiting before a release may fail unseen */
		/* Memory that is refused, for whatever reason, is ERR_NOMEM to the caller. */
		if (rc && ((rc != ERR_DEVICE && rc != ERR_NOMEM) ||
			      (!strstr(message, "unknown error") && !strstr(message, "cublasLt"))))
			fail_msg("call %d: error %d, '%s'", (int)n, rc, message);
		if (simt_live_allocations() > 0)
			fail_msg("call %d: %zu blocks leaked", (int)n, simt_live_allocations());
	}
	assert_true(failed > calls / 2);
	print_message("%d calls, %d failures seen\n", (int)calls, (int)failed);
}

static void device__each_allocation_may_fail(void **state)
{
	struct device dev = {.backend = &cuda_backend};
	(void)state;
	for (uint64_t n = 1;; n++) {
		mem_fail_at(n);
		int rc = note(cuda_backend.open(&dev.ctx, &(struct open_options){0}));
		bool failed = mem_count() >= n;
		mem_fail_at(0);
		if (!rc)
			cuda_backend.close(dev.ctx);
		assert_true(failed ? rc == ERR_NOMEM : !rc);
		assert_int_equal(simt_live_allocations(), 0);
		if (!failed)
			break;
	}
}

#define TABLE_VALUES 20

/* Takes 1 from each value, then from the values that are there. */
static void must_take(struct device dev, struct update_job *job, float before, float after)
{
	float w[TABLE_VALUES];
	assert_int_equal(dev.backend->download(dev.ctx, w, job->item[0].w, sizeof(w)), 0);
	assert_true(w[0] == before && w[TABLE_VALUES - 1] == before);
	assert_int_equal(dev.backend->update_stage(dev.ctx, job), 0);
	assert_int_equal(dev.backend->update(dev.ctx, job), 0);
	assert_int_equal(dev.backend->download(dev.ctx, w, job->item[0].w, sizeof(w)), 0);
	assert_true(w[0] == after && w[TABLE_VALUES - 1] == after);
}

/* The device keeps what an update reads; what fails on the way there must not count as kept. */
static void device__what_an_update_reads_is_brought_until_it_arrives(void **state)
{
	struct device dev = {.backend = &cuda_backend};
	const struct update_state start = {.scale = 1};
	struct update_item item = {.n = TABLE_VALUES, .lr_factor = 1};
	struct update_job job = {.item = &item, .n = 1, .args = {.kind = OPTIMIZER_SGD, .lr = 1}};
	float ones[TABLE_VALUES];
	(void)state;
	for (int i = 0; i < TABLE_VALUES; i++)
		ones[i] = 1;
	assert_int_equal(cuda_backend.open(&dev.ctx, &(struct open_options){0}), 0);
	float *g = cuda_backend.alloc(dev.ctx, sizeof(ones));
	item.w = cuda_backend.alloc(dev.ctx, sizeof(ones));
	item.m = cuda_backend.alloc(dev.ctx, sizeof(ones));
	item.g = g;
	job.args.state = cuda_backend.alloc(dev.ctx, sizeof(start));
	assert_int_equal(cuda_backend.upload(dev.ctx, g, ones, sizeof(ones)), 0);
	assert_int_equal(cuda_backend.upload(dev.ctx, job.args.state, &start, sizeof(start)), 0);
	simt_fail_call("cudaMemcpyAsync", cudaErrorUnknown);
	assert_int_equal(cuda_backend.update_stage(dev.ctx, &job), ERR_DEVICE);
	must_take(dev, &job, 0, -1);
	job.args.lr = 2;
	simt_fail_call("cudaLaunchKernel", cudaErrorUnknown);
	assert_int_equal(cuda_backend.update_stage(dev.ctx, &job), ERR_DEVICE);
	must_take(dev, &job, -1, -3);
	job.n = 0;
	must_say(note(cuda_backend.update_stage(dev.ctx, &job)), ERR_FAIL, "the params of an update have changed");
	job.n = 1;
	item.n = TABLE_VALUES - 1;
	must_say(note(cuda_backend.update_stage(dev.ctx, &job)), ERR_FAIL, "the params of an update have changed");
	cuda_backend.update_release(dev.ctx, &job);
	cuda_backend.free(dev.ctx, g);
	cuda_backend.free(dev.ctx, item.w);
	cuda_backend.free(dev.ctx, item.m);
	cuda_backend.free(dev.ctx, job.args.state);
	cuda_backend.close(dev.ctx);
}

/* Kernels and products. */
static uint64_t launches_of_step(struct executor *ex, struct optimizer *opt, struct readback *back, uint64_t number)
{
	const uint64_t before = cuda_launches();
	assert_int_equal(step(ex, opt, back, number), 0);
	return cuda_launches() - before;
}

/* What a step costs the host once it is recorded: two small uploads, one launch, two readings; it neither waits nor
 * allocates. */
static void device__a_recorded_step_is_one_launch_and_waits_for_nothing(void **state)
{
	struct device dev = {.backend = &cuda_backend};
	const struct executor_options o = {.mode = EXEC_TRAIN, .stage = "test"};
	const struct update_args args = rig_adamw();
	struct model_spec spec = rig_cnn();
	struct simt_counts before, after;
	struct param_store store;
	struct optimizer opt;
	struct readback back;
	struct executor *ex;
	struct graph g;
	uint64_t launches[5];
	(void)state;
	struct cnn_spec own = *(const struct cnn_spec *)spec.own;
	own.dropout = 0.2f;
	spec.own = &own;
	assert_int_equal(cuda_backend.open(&dev.ctx, &(struct open_options){0}), 0);
	rig_graph(&g, spec, BATCH, true);
	params_init(&store, dev);
	optimizer_init(&opt, &store, &args);
	readback_init(&back, dev);
	assert_int_equal(params_add_graph(&store, &g, 5), 0);
	assert_int_equal(executor_create(&ex, &g, &store, &o), 0);
	assert_int_equal(executor_prepare(ex), 0);
	assert_int_equal(feed(ex), 0);
	for (uint64_t i = 0; i < 2; i++)
		launches[i] = launches_of_step(ex, &opt, &back, i);
	assert_int_equal(drain(&back), 0);
	simt_get_counts(&before);
	for (uint64_t i = 2; i < 5; i++)
		launches[i] = launches_of_step(ex, &opt, &back, i);
	simt_get_counts(&after);
	/* Counted alike; the first step's learning rate came with the rest of the update's table, not as a launch. */
	assert_true(launches[0] > 20);
	for (int i = 1; i < 5; i++)
		assert_int_equal(launches[i], launches[0] + 1);
	assert_int_equal(after.graph_launches - before.graph_launches, 3);
	assert_int_equal(after.host_syncs, before.host_syncs);
	assert_int_equal(after.allocations, before.allocations);
	assert_in_range(after.calls - before.calls, 3 * 5, 3 * 12);
	assert_int_equal(drain(&back), 0);
	executor_free(ex);
	optimizer_clear(&opt);
	params_clear(&store);
	graph_clear(&g);
	cuda_backend.close(dev.ctx);
}

static int build_model(void *user, const struct build_shape *shape, struct graph *g)
{
	int rc = spec_build(g, user, shape);
	return rc ? rc : graph_add_ce(g, 0);
}

/* Weights after steps at 2, 2, 2, then in turns at 4, 1 and 2 samples, in one family or with an executor for each size,
 * one after another; the recorded steps among them in *replayed. Owned by the caller. */
static float *train_sizes(bool in_family, int64_t *n, uint64_t *replayed)
{
	static const int sizes[] = {2, 2, 2, 4, 2, 4, 1, 4, 2, 1, 2, 4, 2, 1, 4, 2};
	struct model_spec spec = rig_cnn();
	struct cnn_spec own = *(const struct cnn_spec *)spec.own;
	struct device dev = {.backend = &cuda_backend};
	const struct update_args args = rig_adamw();
	const struct executor_options o = {.mode = EXEC_TRAIN, .seed = 9, .stage = "test"};
	struct exec_family *family[BATCH + 1] = {0};
	struct simt_counts before, after;
	struct param_store store;
	struct optimizer opt;
	struct graph g;
	own.dropout = 0.2f;
	spec.own = &own;
	assert_int_equal(cuda_backend.open(&dev.ctx, &(struct open_options){0}), 0);
	params_init(&store, dev);
	optimizer_init(&opt, &store, &args);
	rig_graph(&g, spec, 1, false);
	assert_int_equal(params_add_graph(&store, &g, 5), 0);
	graph_clear(&g);
	simt_get_counts(&before);
	for (uint64_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		const struct build_shape shape = shape_samples(sizes[i]);
		struct exec_family **f = &family[in_family ? 0 : sizes[i]];
		struct executor *ex;
		if (!*f)
			assert_int_equal(exec_family_create(f, &store, &o, build_model, &spec), 0);
		assert_int_equal(exec_family_at(*f, &shape, &ex), 0);
		executor_set_clock(ex, i, 0);
		assert_int_equal(feed(ex), 0);
		assert_int_equal(note(executor_step(ex, false, &opt)), 0);
	}
	simt_get_counts(&after);
	*replayed = after.graph_launches - before.graph_launches;
	*n = 0;
	for (int i = 0; i < store.n; i++)
		*n += shape_count(store.item[i]->value.shape);
	float *all = malloc((size_t)*n * sizeof(*all)), *at = all;
	for (int i = 0; i < store.n; i++) {
		assert_int_equal(params_read(&store, store.item[i]->name, at), 0);
		at += shape_count(store.item[i]->value.shape);
	}
	for (int i = 0; i <= BATCH; i++)
		exec_family_free(family[i]);
	optimizer_clear(&opt);
	params_clear(&store);
	cuda_backend.close(dev.ctx);
	return all;
}

/* What was recorded before the arena grew is not replayed; afterwards each size has its recording, and all of them
 * update with the gradients that the family shares. */
static void device__recorded_steps_of_a_family_are_those_of_single_executors(void **state)
{
	uint64_t together, apart;
	int64_t n, same;
	(void)state;
	float *a = train_sizes(true, &n, &together), *b = train_sizes(false, &same, &apart);
	assert_int_equal(n, same);
	assert_memory_equal(a, b, (size_t)n * sizeof(*a));
	assert_int_equal(apart, 16 - 3);    /* all but the first of each size */
	assert_int_equal(together, 16 - 4); /* that of size 2 is made anew */
	free(a);
	free(b);
}

/* The step that is recorded fails at its first kernel. */
static void fail_second_step(void)
{
	struct device dev = {.backend = &cuda_backend};
	const struct update_args args = rig_adamw();
	struct param_store store;
	struct optimizer opt;
	struct graph g;
	assert_int_equal(cuda_backend.open(&dev.ctx, &(struct open_options){0}), 0);
	rig_graph(&g, rig_mlp(), BATCH, true);
	params_init(&store, dev);
	optimizer_init(&opt, &store, &args);
	assert_int_equal(params_add_graph(&store, &g, 5), 0);
	struct executor *ex = rig_executor(&g, &store, EXEC_TRAIN, false);
	assert_int_equal(feed(ex), 0);
	assert_int_equal(executor_step(ex, false, &opt), 0);
	simt_fail_call("cudaLaunchKernel", cudaErrorUnknown);
	must_say(note(executor_step(ex, false, &opt)), ERR_DEVICE, ": unknown error");
	assert_int_equal(note(executor_step(ex, false, &opt)), 0); /* which has left nothing behind */
	executor_free(ex);
	optimizer_clear(&opt);
	params_clear(&store);
	graph_clear(&g);
	cuda_backend.close(dev.ctx);
}

static void device__a_failure_says_whether_the_step_was_being_recorded(void **state)
{
	(void)state;
	fail_second_step();
	assert_non_null(strstr(message, "cuda: recording a step: "));
	setenv("CUDA_LAUNCH_BLOCKING", "1", 1);
	fail_second_step();
	unsetenv("CUDA_LAUNCH_BLOCKING");
	assert_null(strstr(message, "record"));
}

#define TEST(f) cmocka_unit_test_teardown(f, reset)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(device__what_a_machine_lacks_is_said),
	    TEST(device__a_wrong_index_is_said_with_what_there_is),
	    TEST(device__all_work_is_on_the_gpu_that_was_chosen), TEST(device__the_list_says_why_a_gpu_cannot_be_used),
	    TEST(device__full_memory_names_both_numbers), TEST(device__says_what_is_available),
	    TEST(device__an_executor_that_does_not_fit_names_both_numbers),
	    TEST(device__a_fault_of_any_kernel_ends_the_step_with_its_reason), TEST(device__each_call_may_fail),
	    TEST(device__each_allocation_may_fail), TEST(device__what_an_update_reads_is_brought_until_it_arrives),
	    TEST(device__a_recorded_step_is_one_launch_and_waits_for_nothing),
	    TEST(device__recorded_steps_of_a_family_are_those_of_single_executors),
	    TEST(device__a_failure_says_whether_the_step_was_being_recorded)};
	return cmocka_run_group_tests_name("simt device", tests, NULL, NULL);
}

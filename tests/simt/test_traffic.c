/* How many bytes of device memory a training step moves: the counting itself by kernels whose bytes one can count by
 * hand, then steps of the MLP, the CNN, the ResNet and an encoder against cuda/traffic.txt.
 * usage: simt_traffic TABLE [--write]      --write: make the table anew */
#include "bench/models.h"
#include "cuda/cuda.h"
#include "cuda/lt.h"
#include "exec/rig.h"
#include "graph/layer_loss.h"
#include "graph/pass.h"
#include "quant/plan.h"
#include "traffic.h"

static const char *table_path;
static bool write_table;
static struct device cuda = {.backend = &cuda_backend};

/* --- the counting --------------------------------------------------------------------------------------------------
 */

static void *device_memory(size_t bytes)
{
	void *p = NULL;
	assert_int_equal(cudaMalloc(&p, bytes), cudaSuccess);
	assert_int_equal(cudaMemset(p, 0, bytes), cudaSuccess);
	return p;
}

static const struct simt_traffic *moved(const char *name)
{
	size_t n;
	const struct simt_traffic *t = simt_get_traffic(&n);
	for (size_t i = 0; i < n; i++)
		if (strcmp(t[i].name, name) == 0)
			return &t[i];
	fail_msg("%s did not run", name);
	return NULL;
}

static void assert_moved(const char *name, uint64_t launches, uint64_t read, uint64_t written, uint64_t requested)
{
	const struct simt_traffic *t = moved(name);
	assert_int_equal(t->launches, launches);
	assert_int_equal(t->read, read);
	assert_int_equal(t->written, written);
	assert_int_equal(t->requested, requested);
}

static void traffic__counts_each_byte_once_per_launch(void **state)
{
	const int n = 100003;
	float *x = device_memory((size_t)(n + 2) * 4), *y = device_memory((size_t)n * 4);
	(void)state;
	simt_traffic_reset();
	traffic_window_sums(x, y, n, NULL);
	traffic_window_sums(x, y, n, NULL);
	assert_moved("window_sums", 2, 2 * (uint64_t)(n + 2) * 4, 2 * (uint64_t)n * 4, 2 * (uint64_t)n * 16 + 2 * 12);
	cudaFree(x);
	cudaFree(y);
}

static void traffic__counts_wide_and_narrow_accesses(void **state)
{
	const int n = 5001;
	float *fours = device_memory((size_t)n * 16);
	uint8_t *seen = device_memory((size_t)n);
	(void)state;
	simt_traffic_reset();
	traffic_halve(fours, seen, n, NULL);
	assert_moved("halve", 1, (uint64_t)n * 16, (uint64_t)n * 17, (uint64_t)n * 33);
	cudaFree(fours);
	cudaFree(seen);
}

static void traffic__counts_copies_and_fills(void **state)
{
	static char host[70001];
	char *a = device_memory(70001), *b = device_memory(70001);
	(void)state;
	simt_traffic_reset();
	cudaMemcpyAsync(a + 1, host, 70000, cudaMemcpyHostToDevice, NULL);
	cudaMemcpyAsync(b, a, 70001, cudaMemcpyDeviceToDevice, NULL);
	cudaMemcpyAsync(host, b, 5, cudaMemcpyDeviceToHost, NULL);
	cudaMemcpy2DAsync(a, 100, b, 100, 10, 3, cudaMemcpyDeviceToDevice, NULL);
	cudaMemsetAsync(b, 0, 33000, NULL);
	assert_moved("cudaMemcpyAsync, host to device", 1, 0, 70000, 70000);
	assert_moved("cudaMemcpyAsync, device to device", 1, 70001, 70001, 140002);
	assert_moved("cudaMemcpyAsync, device to host", 1, 5, 0, 5);
	assert_moved("cudaMemcpy2DAsync, device to device", 1, 30, 30, 60);
	assert_moved("cudaMemsetAsync", 1, 0, 33000, 33000);
	cudaFree(a);
	cudaFree(b);
}

/* d (5, 7) of a (5, 11) and b (11, 7). */
static void traffic__counts_products(void **state)
{
	void *a = device_memory(55 * 4), *b = device_memory(77 * 4), *d = device_memory(35 * 4),
	     *bias = device_memory(64);
	struct lt_plan relu = {0}, add = {0};
	struct lt_shape shape = {.M = 5, .N = 7, .K = 11, .in = DT_F32, .out = DT_F32, .bias = true, .relu = true};
	(void)state;
	assert_ok(lt_make(cuda.ctx, &relu, &shape));
	shape = (struct lt_shape){.M = 5, .N = 7, .K = 11, .transposed_a = true, .in = DT_BF16, .out = DT_F32};
	assert_ok(lt_make(cuda.ctx, &add, &shape));
	simt_traffic_reset();
	assert_ok(lt_run(cuda.ctx, &relu, a, b, bias, d, false));
	assert_ok(lt_run(cuda.ctx, &add, a, b, NULL, d, true));
	assert_moved("cublasLtMatmul NN RELU_BIAS", 1, (55 + 77 + 7) * 4, 35 * 4, (55 + 77 + 7 + 35) * 4);
	assert_moved("cublasLtMatmul NT", 1, (55 + 77) * 2 + 35 * 4, 35 * 4, (55 + 77) * 2 + 2 * 35 * 4);
	lt_free(&relu);
	lt_free(&add);
	cudaFree(a);
	cudaFree(b);
	cudaFree(d);
	cudaFree(bias);
}

/* --- training steps ------------------------------------------------------------------------------------------------
 */

enum { TOKENS = 32, WORDS = 2000 };

/* Two layers of two heads of 64 numbers and 512 feed-forward units, on texts of TOKENS tokens each. */
static const struct model_spec encoder = {.family = &family_encoder,
    .input = {.kind = INPUT_TEXT, .vocabulary = WORDS, .longest = TOKENS},
    .classes = 10,
    .n_width = 4,
    .width = (int[]){2, 512, 2, 512},
    .own = &(struct encoder_spec){.hidden = 128,
	.head_size = 64,
	.positions = TOKENS,
	.token_types = 2,
	.pooler = ENCODER_POOLER_TANH,
	.eps = 1e-12f,
	.dropout = 0.1f}};

/* The models of bench/models.h at the batch sizes of the configs where they run in seconds; NULL: the encoder. */
static const struct job {
	const char *net, *model;
	int batch;
	enum dtype half;                  /* f32: no autocast */
	enum { PLAIN, LAYERS, QAT } what; /* LAYERS: its layers are compared with those of one like it */
} jobs[] = {{"mlp", "mlp", 128, DT_F32, PLAIN}, {"cnn", "cnn", 16, DT_F32, PLAIN},
    {"cnn_bf16", "cnn", 16, DT_BF16, PLAIN}, {"resnet", "eurosat_resnet", 8, DT_F32, PLAIN},
    {"encoder", NULL, 16, DT_F32, PLAIN}, {"encoder_bf16", NULL, 16, DT_BF16, PLAIN},
    {"encoder_layers", NULL, 16, DT_F32, LAYERS}, {"encoder_qat", NULL, 16, DT_F32, QAT}};

/* A term of each kind on a layer. */
static void add_terms(struct graph *g)
{
	for (int kind = 0; kind < LAYER_LOSS_KINDS; kind++) {
		struct layer_loss l = {.kind = (enum layer_loss_kind)kind,
		    .distance = kind == LAYER_HIDDEN ? DISTANCE_COSINE : DISTANCE_MSE,
		    .factor = 1};
		assert_ok(layer_loss_make(&l, &encoder, &encoder));
		assert_ok(layer_loss_add(g, &encoder, &l));
	}
}

/* The training graph of quantization; all values have one range. */
static void annotate(const struct graph *g, struct graph *out, struct param_store *store)
{
	const struct quant_rules rules = {
	    .method = QUANT_QAT, .weight_bits = 8, .act_bits = 8, .per_channel = true, .affine = true};
	struct graph folded;
	struct quant_plan plan;
	graph_init(&folded);
	assert_ok(pass_fold(g, &folded));
	assert_ok(quant_plan_make(&plan, &folded, &rules));
	for (int i = 0; i < plan.n_value; i++) {
		const struct quant_value *v = &plan.value[i];
		const int64_t n = v->channels;
		char name[NODE_NAME];
		struct param *p;
		float *step = mem_alloc((size_t)n, sizeof(*step));
		for (int64_t k = 0; k < n; k++)
			step[k] = 0.02f;
		if (!v->weight)
			assert_ok(quant_plan_set_range(&plan, v->name, -2, 2, step));
		assert_ok(quant_step_name(name, v->name));
		assert_ok(params_add(store, name, DT_F32, shape_of(1, &n), &p));
		assert_ok(params_write(store, name, step));
		mem_free(step);
	}
	assert_ok(pass_annotate(&folded, &plan, true, out));
	quant_plan_clear(&plan);
	graph_clear(&folded);
}

static void make_graph(struct graph *g, const struct job *j, struct param_store *store)
{
	const struct build_shape shape = {
	    .sequences = j->batch, .tokens = (int64_t)j->batch * TOKENS, .longest = TOKENS};
	struct graph f32;
	graph_init(&f32);
	assert_ok(spec_build(&f32, j->model ? model_find(j->model) : &encoder, &shape));
	assert_ok(graph_add_ce(&f32, 0));
	graph_init(g);
	if (j->what == LAYERS)
		add_terms(&f32);
	if (j->what == QAT)
		annotate(&f32, g, store);
	else
		assert_ok(j->half == DT_F32 ? graph_copy(g, &f32) : pass_autocast(&f32, j->half, g));
	graph_clear(&f32);
}

/* Classes, words and starts of texts, each in turn. */
static int32_t number_of(const struct node *node, int64_t k)
{
	if (strcmp(node->name, "starts") == 0)
		return (int32_t)k * TOKENS;
	return (int32_t)(strcmp(node->name, "ids") == 0 ? k * 7 % WORDS : k % 10);
}

/* Random pixels or texts, the classes in turn, equal weights. */
static void feed(struct executor *ex)
{
	const struct graph *g = executor_graph(ex);
	for (int i = 0; i < g->n; i++) {
		const struct node *node = &g->node[i];
		if (node->op != OP_INPUT)
			continue;
		const int64_t n = shape_count(node->shape);
		float *x = mem_alloc((size_t)n, sizeof(*x));
		int32_t *number = (int32_t *)(void *)x;
		assert_non_null(x);
		if (node->shape.ndim > 1)
			fill_normal(x, n);
		for (int64_t k = 0; node->shape.ndim == 1 && k < n; k++)
			if (node->dtype == DT_S32)
				number[k] = number_of(node, k);
			else
				x[k] = 1.0f / (float)n;
		assert_ok(executor_input(ex, node->name, x, (size_t)n * sizeof(*x)));
		mem_free(x);
	}
}

static void add_up(struct simt_traffic *sum, const struct simt_traffic *t)
{
	sum->launches += t->launches;
	sum->read += t->read;
	sum->written += t->written;
	sum->requested += t->requested;
}

enum { LAUNCHED, COPIED, ALL, SUMS };

/* Moves what was counted since the last time into the table, as `net.phase`. */
static void take(struct traffic_table *table, const char *net, const char *phase, struct simt_traffic sum[SUMS])
{
	char name[32];
	size_t n;
	const struct simt_traffic *t = simt_get_traffic(&n);
	snprintf(name, sizeof(name), "%s.%s", net, phase);
	for (size_t i = 0; i < n; i++) {
		add_up(&sum[strncmp(t[i].name, "cudaMem", 7) == 0 ? COPIED : LAUNCHED], &t[i]);
		add_up(&sum[ALL], &t[i]);
		assert_int_equal(traffic_add(table, name, &t[i]), 0);
	}
	simt_traffic_reset();
}

static void train_step(struct executor *ex, struct optimizer *opt, int step, struct traffic_table *table,
    const char *net, struct simt_traffic sum[SUMS])
{
	simt_traffic_reset();
	feed(ex);
	take(table, net, "upload", sum);
	executor_set_clock(ex, (uint64_t)step, 0);
	assert_ok(executor_forward(ex));
	take(table, net, "forward", sum);
	assert_ok(executor_backward(ex, false));
	take(table, net, "backward", sum);
	assert_ok(executor_update(ex, opt));
	take(table, net, "update", sum);
}

/* Appends the second step: what happens only once is in the first. */
static void count(struct traffic_table *table, const struct job *j, uint64_t seed)
{
	static struct traffic_table first;
	struct update_args args = rig_adamw();
	struct param_store store;
	struct optimizer opt;
	struct graph g;
	args.clip_norm = 1;
	params_init(&store, cuda);
	make_graph(&g, j, &store);
	assert_ok(params_add_graph(&store, &g, seed));
	optimizer_init(&opt, &store, &args);
	struct executor *ex = rig_executor(&g, &store, EXEC_TRAIN, false);
	struct simt_traffic sum[SUMS] = {{.name = ""}};
	first.n = 0;
	train_step(ex, &opt, 0, &first, j->net, sum);
	memset(sum, 0, sizeof(sum));
	train_step(ex, &opt, 1, table, j->net, sum);
	static const char *const names[SUMS] = {"= kernels and products", "= copies and fills", "= all"};
	for (int i = 0; i < SUMS; i++) {
		snprintf(sum[i].name, sizeof(sum[i].name), "%s", names[i]);
		assert_int_equal(traffic_add(table, j->net, &sum[i]), 0);
	}
	struct simt_traffic least = {.name = "= each node of the graph once"};
	assert_int_equal(traffic_least(&g, &least), 0);
	assert_int_equal(traffic_add(table, j->net, &least), 0);
	executor_free(ex);
	optimizer_clear(&opt);
	params_clear(&store);
	graph_clear(&g);
}

/* Other orders of lanes and blocks, other weights. */
static void traffic__does_not_depend_on_order_or_values(void **state)
{
	static struct traffic_table a, b;
	static const struct job tiny = {"digits", "digits", 5, DT_F32, PLAIN};
	(void)state;
	count(&a, &tiny, 5);
	simt_set_seed(77);
	simt_set_order(SIMT_ORDER_DESCENDING);
	count(&b, &tiny, 6);
	simt_reset();
	b.compiler = __GNUC__;
	assert_int_equal(traffic_compare(&b, &a), 0);
}

static struct traffic_table counted;

static void traffic__training_steps_move_what_the_table_says(void **state)
{
	static struct traffic_table committed;
	(void)state;
	for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++)
		count(&counted, &jobs[i], 5);
	if (write_table) {
		assert_int_equal(traffic_write(&counted, table_path), 0);
		return;
	}
	assert_int_equal(traffic_read(&committed, table_path), 0);
	assert_int_equal(traffic_compare(&committed, &counted), 0);
}

/* What was counted last: bias and ReLU are epilogues of products or parts of batch norm and add, operands are f32. */
static void traffic__f32_forward_has_no_kernels_for_bias_relu_or_casts(void **state)
{
	static const char *const parts[] = {"put", "cublasLtMatmul", "im2col", "batchnorm_parts",
	    "batchnorm_statistics", "batchnorm_apply", "maxpool", "avgpool", "add", "loss_rows", "embedding",
	    "position", "layernorm", "dropout_rows", "dropout", "attention", "activation", "segment_first",
	    "hidden_loss", "loss_sum", "map_softmax", "attention_maps", "attention_slopes", "attention_loss_dq",
	    "attention_loss_dk", "relation_loss"};
	int seen = 0;
	(void)state;
	for (size_t i = 0; i < counted.n; i++) {
		const struct traffic_row *r = &counted.row[i];
		bool known = false;
		if (!strstr(r->net, ".forward") || strstr(r->net, "bf16") || strstr(r->net, "qat"))
			continue;
		for (size_t k = 0; k < sizeof(parts) / sizeof(parts[0]); k++)
			known |= strcspn(r->moved.name, "< ") == strlen(parts[k]) &&
				 strncmp(r->moved.name, parts[k], strlen(parts[k])) == 0;
		if (!known)
			fail_msg("%s: %s", r->net, r->moved.name);
		seen++;
	}
	assert_true(seen > 10);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(traffic__counts_each_byte_once_per_launch),
	    cmocka_unit_test(traffic__counts_wide_and_narrow_accesses),
	    cmocka_unit_test(traffic__counts_copies_and_fills),
	    cmocka_unit_test(traffic__counts_products),
	    cmocka_unit_test(traffic__does_not_depend_on_order_or_values),
	    cmocka_unit_test(traffic__training_steps_move_what_the_table_says),
	    cmocka_unit_test(traffic__f32_forward_has_no_kernels_for_bias_relu_or_casts),
	};
	write_table = argc == 3 && strcmp(argv[2], "--write") == 0;
	if (argc != 2 && !write_table) {
		fprintf(stderr, "usage: %s TABLE [--write]\n", argv[0]);
		return 2;
	}
	table_path = argv[1];
	if (cuda_backend.open(&cuda.ctx, &(struct open_options){0})) {
		fprintf(stderr, "%s\n", err_message());
		return 1;
	}
	int rc = cmocka_run_group_tests(tests, NULL, NULL);
	cuda_backend.close(cuda.ctx);
	return rc;
}

/* Structured pruning without training: the search against every choice, gains and exchanges against numpy, gradients
 * against differences, and encoders whose best choice is known. */
#include "stages/texts.h"

#include <math.h>

#include "base/hash.h"
#include "stages/fisher_golden.h"
#include "stages/prune_fisher.h"
#include "worst.h"

static struct rig texts;
static struct encoder_spec own = {.hidden = 24,
    .head_size = 8,
    .positions = 128,
    .token_types = 2,
    .norm = ENCODER_NORM_POST,
    .activation = ENCODER_GELU,
    .pooling = ENCODER_POOLING_MEAN,
    .pooler = ENCODER_POOLER_NONE,
    .eps = 1e-12f,
    .dropout = 0.1f};
static int widths[] = {3, 20, 3, 20};

static int set_up(void **state)
{
	(void)state;
	texts_open(&texts, true);
	struct model_spec spec = {.family = &family_encoder,
	    .input = texts.adapter.spec,
	    .classes = texts.data.classes,
	    .n_width = 4,
	    .width = widths,
	    .own = &own};
	RIG_OK(rig_run(&texts, &stage_train,
	    &(struct rig_case){
		.name = "teacher", .options = "{epochs: 3, batch_size: 16, lr: 0.003, warmup: 0.1}", .spec = &spec}));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&texts);
	return 0;
}

/* The numbers of make_fisher_golden.py. */
static float number(uint32_t i, uint32_t stream)
{
	uint32_t v = i * 2654435761u + stream * 40503u + 77;
	v ^= v >> 15;
	v *= 2246822519u;
	v ^= v >> 13;
	return (float)(v >> 8) / 8388608.0f - 1;
}

static void numbers(float *out, uint32_t n, uint32_t stream)
{
	for (uint32_t i = 0; i < n; i++)
		out[i] = number(i, stream);
}

/* ---- the search ---- */

enum { BLOCKS = 3 };
static struct prune_block blocks[BLOCKS] = {
    {.units = 4, .least = 1, .step = 1}, {.units = 3, .least = 1, .step = 1}, {.units = 10, .least = 2, .step = 3}};

struct every {
	double worth, cost;
};

/* The best of all choices, by prices (a unit) or times (a number of units). */
static struct every best_choice(
    const double *const *sorted, const double *price, const double *const *ms, double budget)
{
	struct every best = {-1, 0};
	for (int a = blocks[0].least; a <= blocks[0].units; a = prune_next_units(&blocks[0], a))
		for (int b = blocks[1].least; b <= blocks[1].units; b = prune_next_units(&blocks[1], b))
			for (int c = blocks[2].least; c <= blocks[2].units; c = prune_next_units(&blocks[2], c)) {
				const int k[BLOCKS] = {a, b, c};
				struct every now = {0, 0};
				for (int i = 0; i < BLOCKS; i++) {
					now.cost += ms ? ms[i][k[i]] : price[i] * k[i];
					for (int u = 0; u < k[i]; u++)
						now.worth += sorted[i][u];
				}
				if (now.cost <= budget * (1 + 1e-9) && now.worth > best.worth)
					best = now;
			}
	return best;
}

static struct every worth_of(const int *keep, const double *const *sorted, const double *price, const double *const *ms)
{
	struct every v = {0, 0};
	for (int i = 0; i < BLOCKS; i++) {
		v.cost += ms ? ms[i][keep[i]] : price[i] * keep[i];
		for (int u = 0; u < keep[i]; u++)
			v.worth += sorted[i][u];
	}
	return v;
}

static int descending(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return (x < y) - (x > y);
}

static void draw_scores(double score[BLOCKS][10], uint32_t stream)
{
	for (int i = 0; i < BLOCKS; i++) {
		for (int u = 0; u < blocks[i].units; u++)
			score[i][u] = fabs((double)number((uint32_t)(16 * i + u), stream)) * (i < 2 ? 5 : 1);
		qsort(score[i], (size_t)blocks[i].units, sizeof(**score), descending);
	}
}

/* Heads of one price in two blocks, the others in one: the sweep finds what trying all finds, where steps are one unit;
 * with longer steps the greedy part may leave one out. */
static void search__finds_the_best_choice_for_every_budget(void **state)
{
	(void)state;
	const double price[BLOCKS] = {7, 7, 1};
	blocks[2].step = 1;
	for (uint32_t stream = 0; stream < 20; stream++) {
		double score[BLOCKS][10];
		const double *const sorted[BLOCKS] = {score[0], score[1], score[2]};
		draw_scores(score, stream);
		for (double budget = 16; budget <= 59; budget++) {
			int keep[BLOCKS];
			RIG_OK(prune_search_cost(blocks, BLOCKS, sorted, price, budget, keep));
			const struct every got = worth_of(keep, sorted, price, NULL),
					   want = best_choice(sorted, price, NULL, budget);
			assert_true(got.cost <= budget);
			assert_true(fabs(got.worth - want.worth) < 1e-12);
		}
	}
	blocks[2].step = 3;
	double score[BLOCKS][10];
	const double *const sorted[BLOCKS] = {score[0], score[1], score[2]};
	int keep[BLOCKS];
	draw_scores(score, 1);
	for (double budget = 16; budget <= 59; budget++) {
		RIG_OK(prune_search_cost(blocks, BLOCKS, sorted, price, budget, keep));
		assert_true(worth_of(keep, sorted, price, NULL).cost <= budget);
		assert_true(keep[2] == 2 || keep[2] == 5 || keep[2] == 8 || keep[2] == 10);
	}
	assert_int_equal(keep[0], 4); /* a budget for all takes all */
	assert_int_equal(keep[2], 10);
	assert_int_equal(prune_search_cost(blocks, BLOCKS, sorted, price, 15, keep), ERR_CONFIG);
}

static void search__finds_the_best_choice_by_a_table_of_times(void **state)
{
	(void)state;
	for (uint32_t stream = 0; stream < 20; stream++) {
		double score[BLOCKS][10], time[BLOCKS][11], least;
		const double *const sorted[BLOCKS] = {score[0], score[1], score[2]};
		const double *const ms[BLOCKS] = {time[0], time[1], time[2]};
		int keep[BLOCKS];
		draw_scores(score, stream);
		for (int i = 0; i < BLOCKS; i++) /* more units may be faster */
			for (int k = 0; k <= blocks[i].units; k++)
				time[i][k] =
				    0.2 + 0.1 * k + 0.15 * (double)number((uint32_t)(20 * i + k), stream + 100);
		for (double budget = 1.2; budget < 3; budget += 0.1) {
			const struct every most = best_choice(sorted, NULL, ms, budget),
					   less = best_choice(sorted, NULL, ms, budget * (1 - 3.0 / 8192));
			int rc = prune_search_time(blocks, BLOCKS, sorted, ms, budget, keep, &least);
			if (most.worth < 0) {
				assert_int_equal(rc, ERR_CONFIG);
				assert_true(least > budget);
				continue;
			}
			RIG_OK(rc);
			const struct every got = worth_of(keep, sorted, NULL, ms);
			assert_true(got.cost <= budget * (1 + 1e-6));
			assert_true(got.worth <= most.worth + 1e-12 && got.worth >= less.worth - 1e-12);
		}
	}
}

/* ---- within a layer ---- */

static void exchange__agrees_with_numpy(void **state)
{
	(void)state;
	int exchanged = 0;
	for (uint32_t c = 0; c < 8; c++) {
		float g[12 * 20];
		bool kept[12];
		numbers(g, 12 * 20, 30 + c);
		for (int u = 0; u < 12; u++)
			for (int k = 0; k < 20; k++)
				g[u * 20 + k] *= (float)(1 + u % 3);
		RIG_OK(prune_choose_units(g, 12, 20, 5, true, kept));
		for (int u = 0; u < 12; u++)
			assert_int_equal(kept[u], golden_kept[12 * c + (uint32_t)u]);
		RIG_OK(prune_choose_units(g, 12, 20, 5, false, kept));
		for (int u = 0; u < 12; u++)
			exchanged += kept[u] != golden_kept[12 * c + (uint32_t)u];
	}
	assert_true(exchanged > 16);
}

/* Two that cancel can go together, though each of them is larger than the third. */
static void exchange__removes_units_that_cancel(void **state)
{
	(void)state;
	const float g[4][3] = {{2, -2, 2}, {1, 1, 1}, {-2, 2, -2}, {9, 9, 9}};
	bool kept[4];
	RIG_OK(prune_choose_units(&g[0][0], 4, 3, 2, true, kept));
	assert_true(!kept[0] && kept[1] && !kept[2] && kept[3]);
	RIG_OK(prune_choose_units(&g[0][0], 4, 3, 2, false, kept));
	assert_true(!kept[1]);
}

static void check_gains(int units, int inner, uint32_t stream, const double *want)
{
	float x[GOLDEN_ROWS * 16], w[GOLDEN_OUTPUTS * 16], e[GOLDEN_ROWS * GOLDEN_OUTPUTS];
	const int columns = units * inner;
	struct gain_sums s;
	double gain[16];
	numbers(x, (uint32_t)(GOLDEN_ROWS * columns), stream);
	numbers(w, (uint32_t)(GOLDEN_OUTPUTS * columns), stream + 1);
	numbers(e, GOLDEN_ROWS * GOLDEN_OUTPUTS, stream + 2);
	for (int i = 0; i < GOLDEN_ROWS * GOLDEN_OUTPUTS; i++)
		e[i] *= 2;
	RIG_OK(gain_sums_init(&s, units, inner));
	RIG_OK(gain_sums_add(&s, x, e, w, 10, GOLDEN_OUTPUTS));
	RIG_OK(gain_sums_add(&s, x + 10 * columns, e + 10 * GOLDEN_OUTPUTS, w, GOLDEN_ROWS - 10, GOLDEN_OUTPUTS));
	RIG_OK(gain_solve(&s, w, GOLDEN_OUTPUTS, gain));
	for (int u = 0; u < units; u++)
		if (!(fabs(gain[u] - want[u]) < 1e-5))
			fail_msg("gain %d is %.9g, not %.9g", u, gain[u], want[u]);
	gain_sums_clear(&s);
}

static void gains__agree_with_numpy(void **state)
{
	(void)state;
	check_gains(9, 1, 10, golden_gains_units);
	check_gains(3, 4, 20, golden_gains_heads);
}

/* ---- gradients ---- */

/* `keep` samples of the training split, as the stage would look at them. */
static void open_job(struct fisher_job *job, struct prune_options *o, struct stage_run *run, struct model *m,
    const char *options, const char *folder)
{
	*o = (struct prune_options){0};
	RIG_OK(rig_options(prune_option_table, o, options));
	*run = (struct stage_run){.name = "p", .data = &texts.data, .task = &texts.task, .seed = 42};
	rig_load(&texts, folder, m);
	*job = (struct fisher_job){.o = o, .run = run, .model = m};
	RIG_OK(fisher_open(job));
}

static void close_job(struct fisher_job *job, struct prune_options *o, struct model *m)
{
	fisher_close(job);
	option_clear(prune_option_table, o);
	model_clear(m);
}

/* The loss of one sample, in double from its logits: the mean over labels of the binary cross-entropy. */
static double loss_of(struct model *m, struct fisher_job *job, uint32_t sample)
{
	const struct targets t = task_targets(&texts.data, SPLIT_TRAIN, sample);
	struct metrics figures;
	struct session s;
	RIG_OK(session_open_model(&s, m, &(struct session_options){.batch = 1}));
	RIG_OK(session_forward(&s, &job->samples, &sample, 1));
	RIG_OK(metrics_init(&figures, &texts.task));
	metrics_reset(&figures);
	RIG_OK(metrics_add(&figures, s.logits, &t, 1));
	RIG_OK(metrics_finish(&figures));
	const double loss = figures.loss;
	metrics_clear(&figures);
	session_close(&s);
	return loss;
}

/* Multiplies what a unit hands on: its columns of the weight that reads it. */
static void scale_unit(struct model *m, const struct prune_block *b, int u, float factor)
{
	const int columns = b->units * b->inner;
	float *w = mem_alloc((size_t)(b->outputs * columns), sizeof(*w));
	RIG_OK(params_read(&m->params, b->w, w));
	for (int o = 0; o < b->outputs; o++)
		for (int c = 0; c < b->inner; c++)
			w[o * columns + u * b->inner + c] *= factor;
	RIG_OK(params_write(&m->params, b->w, w));
	mem_free(w);
}

static void gradients__are_those_of_each_sample(void **state)
{
	(void)state;
	struct prune_options o;
	struct fisher_job job;
	struct stage_run run;
	struct model m;
	int large = 0;
	open_job(&job, &o, &run, &m, "{method: fisher, sparsity: 0.5, fisher_samples: 35}", "teacher");
	assert_int_equal(job.n, 32); /* whole batches */
	assert_int_equal(job.blocks.n, 4);
	RIG_OK(fisher_gradients(&job));
	for (int i = 0; i < 4; i++) {
		const struct prune_block *b = &job.blocks.item[i];
		assert_int_equal(b->inner, i % 2 ? 1 : 8);
		assert_true(b->attends == (i % 2 == 0));
		/* 24 numbers come in and go out of each unit; three layers make a head */
		assert_true(b->macs == (i % 2 ? 24 + 24 : 8 * (3 * 24 + 24)));
		for (int at = 3; at < 32; at += 14) {
			const int u = (7 * i + at) % b->units;
			const float h = 0.05f;
			scale_unit(&m, b, u, 1 + h);
			const double up = loss_of(&m, &job, job.index[at]);
			scale_unit(&m, b, u, (1 - h) / (1 + h));
			const double down = loss_of(&m, &job, job.index[at]);
			scale_unit(&m, b, u, 1 / (1 - h));
			const double want = (up - down) / (2 * (double)h),
				     got = (double)job.gradient[i][u * job.n + at];
			if (!(fabs(got - want) < 1e-6 + 0.005 * fabs(want)))
				fail_msg("block %d unit %d sample %d: %g, not %g", i, u, at, got, want);
			large += fabs(want) > 5e-5;
		}
	}
	assert_true(large >= 4);
	close_job(&job, &o, &m);
}

/* ---- encoders ---- */

static const int useless_heads[2] = {1, 2}; /* of each layer one */

/* Unit u of a layer's feed-forward network hands on nothing if this holds. */
static bool is_useless(int layer, int u)
{
	return layer == 0 ? u % 4 == 1 : u >= 13;
}

static void save_with_useless_units(const char *folder)
{
	struct prune_options o = {.min_units = 1};
	struct prune_blocks b;
	struct model m;
	rig_load(&texts, "teacher", &m);
	RIG_OK(prune_blocks_find(&b, &o, &m.ckpt.spec));
	for (int layer = 0; layer < 2; layer++) {
		scale_unit(&m, &b.item[2 * layer], useless_heads[layer], 0);
		for (int u = 0; u < 20; u++)
			if (is_useless(layer, u))
				scale_unit(&m, &b.item[2 * layer + 1], u, 0);
	}
	prune_blocks_clear(&b);
	rig_save(&texts, &m, folder);
	model_clear(&m);
}

static double distance(const char *a, const char *b)
{
	float *x = rig_logits(&texts, a, 60), *y = rig_logits(&texts, b, 60);
	double sum = 0;
	for (int i = 0; i < 60 * 3; i++)
		sum += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
	mem_free(x);
	mem_free(y);
	return sqrt(sum / (60 * 3));
}

/* Of the multiply-adds, a little less. */
static double useless_share(void)
{
	struct prune_options o;
	struct fisher_job job;
	struct stage_run run;
	struct model m;
	double all = 0, useless = 0;
	open_job(&job, &o, &run, &m, "{method: fisher, sparsity: 0.5, fisher_samples: 64}", "useless");
	for (int i = 0; i < 4; i++) {
		const double cost = prune_unit_macs(&job.blocks.item[i], job.attended);
		for (int u = 0; u < widths[i]; u++) {
			all += cost;
			useless += i % 2 == 0             ? (u == useless_heads[i / 2] ? cost : 0)
				   : is_useless(i / 2, u) ? cost
							  : 0;
		}
	}
	assert_true(job.attended > 10 && job.attended < 41);
	close_job(&job, &o, &m);
	return useless / all - 1e-6;
}

/* What the loss does not depend on goes first, and nothing else: the budget is exactly that of the rest. */
static void fisher__removes_what_the_loss_does_not_need(void **state)
{
	(void)state;
	struct model m, cut;
	float all[20], left[20];
	char options[160];
	save_with_useless_units("useless");
	snprintf(options, sizeof(options),
	    "{method: fisher, sparsity: %.9f, epochs: 0, round_to: 1, fisher_samples: 64}", useless_share());
	RIG_OK(rig_run(&texts, &stage_prune,
	    &(struct rig_case){.name = "p", /* the same samples */
		.folder = "needed",
		.options = options,
		.input = "useless"}));
	rig_load(&texts, "useless", &m);
	rig_load(&texts, "needed", &cut);
	assert_int_equal(cut.ckpt.spec.width[0], 2);
	assert_int_equal(cut.ckpt.spec.width[1], 15);
	assert_int_equal(cut.ckpt.spec.width[2], 2);
	assert_int_equal(cut.ckpt.spec.width[3], 13);
	RIG_OK(params_read(&m.params, "encoder.layer.0.intermediate.dense.bias", all));
	RIG_OK(params_read(&cut.params, "encoder.layer.0.intermediate.dense.bias", left));
	for (int u = 0, at = 0; u < 20; u++)
		if (!is_useless(0, u))
			assert_true(left[at++] == all[u]);
	assert_true(distance("useless", "needed") < 1e-3);
	const cJSON *report = cJSON_GetObjectItem(cut.ckpt.info, "pruning");
	assert_true(rig_number(report, "samples") == 64);
	assert_true(fabs(rig_number(report, "macs_left_pct") - 100 * (1 - useless_share())) < 0.01);
	assert_true(strncmp(cJSON_GetStringValue(cJSON_GetObjectItem(cut.ckpt.info, "technique")), "fisher_", 7) == 0);
	model_clear(&m);
	model_clear(&cut);
}

/* Of twins one is enough, with twice the gain. */
static void tune__makes_up_for_twins(void **state)
{
	(void)state;
	struct prune_options o;
	struct fisher_job job;
	struct stage_run run;
	struct model m;
	struct slice slice;
	struct model_spec spec;
	struct param_store left;
	float in[20 * 24], bias[20], out[24 * 20], cut[24 * 10];
	open_job(&job, &o, &run, &m, "{method: fisher, sparsity: 0.5, fisher_samples: 64}", "teacher");
	params_init(&left, texts.dev);
	RIG_OK(params_read(&m.params, "encoder.layer.1.intermediate.dense.weight", in));
	RIG_OK(params_read(&m.params, "encoder.layer.1.intermediate.dense.bias", bias));
	RIG_OK(params_read(&m.params, "encoder.layer.1.output.dense.weight", out));
	for (int u = 0; u < 10; u++) {
		memcpy(in + (10 + u) * 24, in + u * 24, 24 * sizeof(*in));
		bias[10 + u] = bias[u];
		for (int k = 0; k < 24; k++)
			out[k * 20 + 10 + u] = out[k * 20 + u] *= 300; /* the damping is small beside it */
	}
	RIG_OK(params_write(&m.params, "encoder.layer.1.intermediate.dense.weight", in));
	RIG_OK(params_write(&m.params, "encoder.layer.1.intermediate.dense.bias", bias));
	RIG_OK(params_write(&m.params, "encoder.layer.1.output.dense.weight", out));
	RIG_OK(slice_init(&slice, 4));
	slice.keep[3] = mem_alloc(10, sizeof(int));
	slice.n_keep[3] = 10;
	for (int u = 0; u < 10; u++)
		slice.keep[3][u] = u;
	for (int i = 0; i < 4; i++)
		job.keep[i] = i == 3 ? 10 : widths[i];
	RIG_OK(slice_spec(&spec, &m.ckpt.spec, &slice));
	RIG_OK(prune_slice_params(&m.ckpt.spec, &spec, &slice, &m.params, &left));
	RIG_OK(prune_tune(&job, &spec, &left));
	RIG_OK(params_read(&left, "encoder.layer.1.output.dense.weight", cut));
	for (int i = 0; i < 240; i++)
		if (!(fabsf(cut[i] - 2 * out[i / 10 * 20 + i % 10]) <= 0.02f * fabsf(out[i / 10 * 20 + i % 10])))
			fail_msg("weight %d: %g, not twice %g", i, (double)cut[i], (double)out[i / 10 * 20 + i % 10]);
	assert_int_equal(job.report.tuned, 1); /* before it nothing is missing */
	params_clear(&left);
	spec_clear(&spec);
	slice_clear(&slice);
	close_job(&job, &o, &m);
}

/* What the last feed-forward network's output and its residual lack, squared, summed over the job's samples. */
static double lacking(struct fisher_job *job, struct model *cut)
{
	struct model *const m[2] = {job->model, cut};
	struct session s[2];
	double sum = 0;
	for (int i = 0; i < 2; i++)
		RIG_OK(
		    session_open_model(&s[i], m[i], &(struct session_options){.batch = job->batch, .keep_all = true}));
	for (int64_t at = 0; at < job->n; at += job->batch) {
		float *v[2][2];
		int64_t rows = 0;
		for (int i = 0; i < 2; i++) {
			RIG_OK(session_push(&s[i], &job->samples, job->index + at, job->batch));
			rows = ((const int32_t *)feed_find(&s[i].feed, "starts")->data)[job->batch];
			const int64_t capacity = feed_find(&s[i].feed, "ids")->count;
			const char *const name[2] = {
			    "encoder.layer.1.output.dense", "encoder.layer.1.attention.output.LayerNorm"};
			for (int k = 0; k < 2; k++) {
				v[i][k] = mem_alloc((size_t)capacity * 24, sizeof(float));
				RIG_OK(
				    executor_output(s[i].ex, name[k], v[i][k], (size_t)capacity * 24 * sizeof(float)));
			}
		}
		for (int64_t e = 0; e < rows * 24; e++) {
			const double d =
			    (double)v[0][0][e] + (double)v[0][1][e] - (double)v[1][0][e] - (double)v[1][1][e];
			sum += d * d;
		}
		for (int i = 0; i < 4; i++)
			mem_free(v[i / 2][i % 2]);
	}
	session_close(&s[0]);
	session_close(&s[1]);
	return sum;
}

/* Where the residual differs too, any other gain of a unit leaves more. */
static void tune__gains_are_the_best_with_the_residual(void **state)
{
	(void)state;
	struct prune_options o;
	struct fisher_job job;
	struct stage_run run;
	struct model m, cut = {0};
	struct slice slice;
	const int left[4] = {1, 4, 3, 6};
	open_job(&job, &o, &run, &m, "{method: fisher, sparsity: 0.5, fisher_samples: 64}", "teacher");
	for (int u = 0; u < 20; u++)
		scale_unit(&m, &job.blocks.item[3], u, 10); /* the damping is small beside it */
	RIG_OK(slice_init(&slice, 4));
	for (int i = 0; i < 4; i++) {
		slice.keep[i] = mem_alloc((size_t)left[i], sizeof(int));
		slice.n_keep[i] = job.keep[i] = left[i];
		for (int u = 0; u < left[i]; u++)
			slice.keep[i][u] = u;
	}
	rig_load(&texts, "teacher", &cut);
	params_clear(&cut.params);
	params_init(&cut.params, texts.dev);
	spec_clear(&cut.ckpt.spec);
	RIG_OK(slice_spec(&cut.ckpt.spec, &m.ckpt.spec, &slice));
	RIG_OK(prune_slice_params(&m.ckpt.spec, &cut.ckpt.spec, &slice, &m.params, &cut.params));
	const double before = lacking(&job, &cut);
	RIG_OK(prune_tune(&job, &cut.ckpt.spec, &cut.params));
	assert_int_equal(job.report.tuned, 4);
	const double best = lacking(&job, &cut);
	assert_true(best < 0.9 * before);
	struct prune_block b = job.blocks.item[3];
	float w[2][24 * 20];
	RIG_OK(params_read(&m.params, b.w, w[0]));
	RIG_OK(params_read(&cut.params, b.w, w[1]));
	b.units = 6;
	for (int u = 0; u < 6; u++)
		for (int up = 0; up < 2; up++) {
			const float f = up ? 1.05f : 0.95f;
			scale_unit(&cut, &b, u, f);
			const double g = (double)w[1][u] / (double)w[0][u], h = (double)f * g;
			const double other = lacking(&job, &cut) + (h - 1) * (h - 1) - (g - 1) * (g - 1);
			if (!(other > best))
				fail_msg("unit %d times %g: %g, not more than %g", u, (double)f, other, best);
			scale_unit(&cut, &b, u, 1 / f);
		}
	slice_clear(&slice);
	model_clear(&cut);
	close_job(&job, &o, &m);
}

static void tune__brings_the_model_closer_to_what_it_was(void **state)
{
	(void)state;
	RIG_OK(rig_run(&texts, &stage_prune,
	    &(struct rig_case){.name = "plain",
		.options = "{method: fisher, sparsity: 0.5, epochs: 0, round_to: 1, tune: false, rearrange: false}",
		.input = "teacher"}));
	RIG_OK(rig_run(&texts, &stage_prune,
	    &(struct rig_case){.name = "tuned",
		.options = "{method: fisher, sparsity: 0.5, epochs: 0, round_to: 1}",
		.input = "teacher"}));
	const double plain = distance("teacher", "plain"), tuned = distance("teacher", "tuned");
	if (!(tuned < 0.8 * plain))
		fail_msg("from %g to %g", plain, tuned);
}

static void fisher__leaves_excluded_widths_alone_and_can_be_fine_tuned(void **state)
{
	(void)state;
	struct model m, before;
	float a[24 * 20], b[24 * 20];
	RIG_OK(rig_run(&texts, &stage_prune,
	    &(struct rig_case){.name = "part",
		.options =
		    "{method: fisher, sparsity: 0.05, exclude: [layer0.*], round_to: 4, min_units: 2, epochs: 0}",
		.input = "teacher"}));
	rig_load(&texts, "part", &m);
	rig_load(&texts, "teacher", &before);
	assert_int_equal(m.ckpt.spec.width[0], 3);
	assert_int_equal(m.ckpt.spec.width[1], 20);
	assert_int_equal(m.ckpt.spec.width[2], 3); /* of 3 heads no multiple of 4 is below */
	assert_true(m.ckpt.spec.width[3] < 20 && m.ckpt.spec.width[3] % 4 == 0);
	RIG_OK(params_read(&m.params, "encoder.layer.0.output.dense.weight", a));
	RIG_OK(params_read(&before.params, "encoder.layer.0.output.dense.weight", b));
	assert_memory_equal(a, b, sizeof(a));
	model_clear(&m);
	model_clear(&before);
	RIG_OK(rig_run(&texts, &stage_prune,
	    &(struct rig_case){.name = "recovered",
		.options = "{method: fisher, sparsity: 0.5, fisher_samples: 32, epochs: 1, batch_size: 32}",
		.input = "teacher",
		.teacher = "teacher"}));
}

static void fisher__says_what_cannot_be(void **state)
{
	(void)state;
	assert_int_equal(rig_run(&texts, &stage_prune,
			     &(struct rig_case){.name = "never",
				 .options = "{method: fisher, sparsity: 0.99, epochs: 0, fisher_samples: 16}",
				 .input = "teacher"}),
	    ERR_CONFIG);
	assert_non_null(strstr(err_message(), "sparsity 0.99 cannot be reached"));
	volatile sig_atomic_t stop = 1;
	assert_int_equal(rig_run(&texts, &stage_prune,
			     &(struct rig_case){.name = "stopped",
				 .options = "{method: fisher, sparsity: 0.5, epochs: 0}",
				 .input = "teacher",
				 .stop = &stop}),
	    ERR_INTERRUPTED);
}

static void assert_check(const struct model_spec *spec, const char *text, const char *key, const char *part)
{
	struct prune_options o = {0};
	const char *found = NULL;
	int rc = rig_options(prune_option_table, &o, text);
	if (!rc)
		rc = stage_prune.check(&o, spec, &found);
	option_clear(prune_option_table, &o);
	if (!part && rc < 0)
		fail_msg("%s: %s", text, err_message());
	if (!part)
		return;
	assert_int_equal(rc, ERR_CONFIG);
	if (key)
		assert_string_equal(found, key);
	if (!strstr(err_message(), part))
		fail_msg("message '%s' does not hold '%s'", err_message(), part);
}

static void check__contradictions_name_their_option(void **state)
{
	(void)state;
	struct model_spec encoder = {.family = &family_encoder,
	    .input = texts.adapter.spec,
	    .classes = 3,
	    .n_width = 4,
	    .width = widths,
	    .own = &own};
	struct model_spec mlp = {.family = &family_mlp,
	    .input = {.height = 8, .width = 8, .channels = 1},
	    .classes = 10,
	    .n_width = 2,
	    .width = (int[]){16, 12},
	    .own = &(struct mlp_spec){0}};
	struct model_spec bag = {.family = &family_bag,
	    .input = {.kind = INPUT_TEXT, .vocabulary = 50, .longest = 8},
	    .classes = 3,
	    .n_width = 2,
	    .width = (int[]){8, 4},
	    .own = &(struct bag_spec){0}};
	assert_check(&encoder, "{method: fisher, sparsity: 0.5}", NULL, NULL);
	assert_check(&encoder, "{method: fisher}", "sparsity", "needs a sparsity above 0");
	assert_check(&encoder, "{method: fisher, sparsity: 0.5, exclude: [layer2.*]}", "exclude", "matches no width");
	assert_check(&encoder, "{method: fisher, sparsity: 0.99}", "sparsity", "sparsity 0.99 cannot be reached");
	assert_check(&encoder, "{method: fisher, sparsity: 0.5, min_units: 1000}", "sparsity", "at most 0.0000 of");
	assert_check(&encoder, "{method: fisher, sparsity: 0.01, exclude: ['*']}", "sparsity",
	    "at most 0.0000 of the multiply-adds");
	encoder.width = (int[]){5, 5, 5, 5}; /* of each may go just one: 1 - 0.8 is below 0.2 */
	assert_check(&encoder, "{method: fisher, sparsity: 0.2, min_units: 4}", NULL, NULL);
	assert_check(&encoder, "{method: fisher, sparsity: 0.201, min_units: 4}", "sparsity", "at most 0.2000 of");
	encoder.width = widths;
	assert_check(&encoder, "{method: fisher, sparsity: 0.5, norm: l2}", NULL, "norm has no effect");
	assert_check(&encoder, "{method: fisher, sparsity: 0.5, iterations: 2}", NULL, "iterations has no effect");
	assert_check(&encoder, "{method: fisher, sparsity: 0.5, score: taylor}", NULL, "score has no effect");
	assert_check(&encoder, "{method: structured, sparsity: 0.5, tune: true}", NULL, "tune has no effect");
	assert_check(&mlp, "{method: fisher, sparsity: 0.5}", "method", "of this model is more than that to 'fc2'");
	assert_check(
	    &bag, "{method: fisher, sparsity: 0.5}", "method", "method fisher cuts units that are nothing but");
	mlp.n_width = 1; /* its units are inputs of the classifier alone */
	assert_check(&mlp, "{method: fisher, sparsity: 0.5}", NULL, NULL);
}

static void fisher__same_config_twice_gives_the_same_bytes(void **state)
{
	(void)state;
	struct rig_case c = {.name = "same",
	    .folder = "same0",
	    .options = "{method: fisher, sparsity: 0.5, epochs: 0, fisher_samples: 48}",
	    .input = "teacher"};
	char x[HASH_HEX], y[HASH_HEX];
	RIG_OK(rig_run(&texts, &stage_prune, &c));
	c.folder = "same1";
	RIG_OK(rig_run(&texts, &stage_prune, &c));
	RIG_OK(hash_file(rig_path(&texts, "same0/model.safetensors"), x));
	RIG_OK(hash_file(rig_path(&texts, "same1/model.safetensors"), y));
	assert_string_equal(x, y);
}

static void fisher__survives_failed_allocations(void **state)
{
	(void)state;
	struct prune_options o = {0};
	struct stage_run run = {.name = "p", .data = &texts.data, .task = &texts.task, .seed = 42};
	int rc = -1, failed = 0;
	RIG_OK(rig_options(prune_option_table, &o, "{method: fisher, sparsity: 0.5, fisher_samples: 4}"));
	for (uint64_t n = 1; rc < 0; n += 1 + n / 8) {
		struct model m;
		cJSON *report = NULL;
		rig_load(&texts, "teacher", &m);
		mem_fail_at(n);
		rc = prune_fisher(&o, &run, &m, &report);
		mem_fail_at(0);
		assert_true(!rc || rc == ERR_NOMEM);
		failed += rc < 0;
		cJSON_Delete(report);
		model_clear(&m);
	}
	assert_true(failed > 30);
	option_clear(prune_option_table, &o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(search__finds_the_best_choice_for_every_budget),
	    cmocka_unit_test(search__finds_the_best_choice_by_a_table_of_times),
	    cmocka_unit_test(exchange__agrees_with_numpy),
	    cmocka_unit_test(exchange__removes_units_that_cancel),
	    cmocka_unit_test(gains__agree_with_numpy),
	    cmocka_unit_test(gradients__are_those_of_each_sample),
	    cmocka_unit_test(fisher__removes_what_the_loss_does_not_need),
	    cmocka_unit_test(tune__makes_up_for_twins),
	    cmocka_unit_test(tune__gains_are_the_best_with_the_residual),
	    cmocka_unit_test(tune__brings_the_model_closer_to_what_it_was),
	    cmocka_unit_test(fisher__leaves_excluded_widths_alone_and_can_be_fine_tuned),
	    cmocka_unit_test(fisher__says_what_cannot_be),
	    cmocka_unit_test(check__contradictions_name_their_option),
	    cmocka_unit_test(fisher__same_config_twice_gives_the_same_bytes),
	    cmocka_unit_test(fisher__survives_failed_allocations),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

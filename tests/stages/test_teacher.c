/* A teacher sees the samples through its own adapter: the logits that its student is given are exactly its own,
 * whatever normalisation or vocabulary the student has. */
#include "stages/texts.h"

#include "ref/ref.h"
#include "stages/teacher.h"

enum { MICRO = 16 };

static const struct model_spec mlp_spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 1,
    .width = (int[]){12},
    .own = &(struct mlp_spec){0}};

static struct model_spec bag_spec(const struct rig *r)
{
	static struct bag_spec own;
	static int width[] = {10};
	return (struct model_spec){.family = &family_bag,
	    .input = r->adapter.spec,
	    .classes = r->data.classes,
	    .n_width = 1,
	    .width = width,
	    .own = &own};
}

/* The student's graph with the loss of a distillation. */
static int build_student(void *user, const struct build_shape *shape, struct graph *g)
{
	const struct model *m = user;
	const struct task_loss loss = {.distilled = true, .temperature = 2, .alpha = 0.5f};
	int rc = spec_build(g, &m->ckpt.spec, shape);
	return rc ? rc : m->ckpt.task.kind->add_loss(g, &loss);
}

static struct teacher *teaching;

static int bind(void *user, struct executor *train)
{
	(void)user;
	return teacher_bind(teaching, train);
}

/* What the teacher says of one sample, changed as it is at its place in the step. */
static void say_alone(struct session *alone, const struct encoding *e, uint32_t index, const struct augmentation *a,
    struct feed *feed, float *logits)
{
	struct build_shape shape = encoding_shape(e, &index, 1, 1);
	RIG_OK(encoding_fill(e, &index, 1, &shape, a, feed));
	RIG_OK(session_push_feed(alone, &shape, feed));
	const struct graph *g = executor_graph(alone->ex);
	const struct node *out = &g->node[g->output];
	RIG_OK(executor_output(alone->ex, out->name, logits, (size_t)shape_count(out->shape) * sizeof(*logits)));
}

/* Two steps' worth of batches of the training split through teacher_forward; each must give the student what the
 * teacher says of the samples by itself. same: whether the batch is encoded once for both. */
static void gives_its_own_logits(struct rig *r, const struct model_spec *student_spec, bool same)
{
	const struct kd_options kd = {.gate = 0};
	const struct session_options one = {.batch = 1};
	struct stage_run run = {
	    .data = &r->data, .task = &r->task, .train_dev = r->dev, .teacher_dir = rig_path(r, "teacher")};
	const struct executor_options eo = {.mode = EXEC_TRAIN, .stage = "t"};
	static const struct augment_options changes = {.flip = true, .crop_padding = 2};
	const int classes = r->data.classes;
	struct teacher t;
	struct model student;
	struct session alone;
	struct exec_family *family;
	struct encoding seen;
	struct feed feed = {0}, one_feed = {0};
	struct mixing mixing;
	RIG_OK(mixing_init(&mixing, MICRO));
	RIG_OK(model_init(&student, student_spec, &r->adapter, &r->task, r->dev, 7));
	RIG_OK(teacher_open(&t, &run, &kd));
	RIG_OK(teacher_prepare(&t, run.data, &r->adapter, MICRO));
	assert_int_equal(t.same_input, same);
	teaching = &t;
	RIG_OK(encoding_open(&seen, &r->adapter, &r->data, SPLIT_TRAIN));
	RIG_OK(exec_family_create(&family, &student.params, &eo, build_student, &student));
	exec_family_on_bind(family, bind);
	RIG_OK(session_open_model(&alone, &t.model, &one));
	for (int step = 0; step < 4; step++) {
		uint32_t index[MICRO];
		float got[MICRO * 10], want[10];
		struct augmentation a = {.options = r->data.kind == SAMPLE_IMAGE && step % 2 ? &changes : NULL,
		    .seed = 3,
		    .stage = "t",
		    .step = (uint64_t)step};
		struct executor *ex;
		for (int i = 0; i < MICRO; i++)
			index[i] = (uint32_t)(step * 31 + i * 5) % (uint32_t)seen.n;
		if (r->data.kind == SAMPLE_IMAGE && step > 1) {
			mixing_draw(&mixing, 0.5, 3, "t", a.step);
			memcpy(mixing.sample, index, sizeof(index));
			a.mixing = &mixing;
		}
		struct build_shape shape = encoding_shape(&seen, index, MICRO, MICRO);
		RIG_OK(encoding_fill(&seen, index, MICRO, &shape, &a, &feed));
		RIG_OK(task_fill(&r->task, &r->data, SPLIT_TRAIN, index, MICRO, MICRO, &feed));
		RIG_OK(exec_family_at(family, &shape, &ex));
		RIG_OK(executor_feed(ex, &feed));
		RIG_OK(teacher_forward(&t, ex,
		    &(struct train_batch){
			.index = index, .count = MICRO, .augmentation = &a, .shape = &shape, .feed = &feed}));
		RIG_OK(executor_step(ex, false, NULL));
		RIG_OK(executor_output(ex, "teacher_logits", got, (size_t)(MICRO * classes) * sizeof(*got)));
		for (int i = 0; i < MICRO; i++) {
			a.first_sample = (uint64_t)i;
			say_alone(&alone, &t.samples, index[i], &a, &one_feed, want);
			assert_memory_equal(got + i * classes, want, (size_t)classes * sizeof(*got));
		}
	}
	session_close(&alone);
	exec_family_free(family);
	teacher_close(&t);
	encoding_close(&seen);
	feed_clear(&feed);
	feed_clear(&one_feed);
	mixing_clear(&mixing);
	model_clear(&student);
}

/* The reference backend, whose sums do not depend on the batch. */
static void on_reference(struct rig *r)
{
	cpu_backend.close(r->dev.ctx);
	r->dev = (struct device){.backend = &ref_backend};
	RIG_OK(ref_backend.open(&r->dev.ctx, &(struct open_options){.threads = 1}));
}

static void close_reference(struct rig *r)
{
	ref_backend.close(r->dev.ctx);
	r->dev = (struct device){.backend = &cpu_backend};
	RIG_OK(cpu_backend.open(&r->dev.ctx, &(struct open_options){.threads = 2}));
	rig_close(r);
}

static void teach(struct rig *r, const struct model_spec *spec)
{
	RIG_OK(rig_run(r, &stage_train,
	    &(struct rig_case){.name = "teacher", .options = "{epochs: 4, batch_size: 32, lr: 0.01}", .spec = spec}));
	on_reference(r);
}

static void teacher__keeps_its_normalisation(void **state)
{
	struct rig r;
	(void)state;
	rig_open(&r, "source: digits");
	teach(&r, &mlp_spec);
	gives_its_own_logits(&r, &mlp_spec, true);
	r.adapter.mean[0] = 0.9f;
	r.adapter.std[0] = 0.1f;
	gives_its_own_logits(&r, &mlp_spec, false);
	close_reference(&r);
}

static void teacher__keeps_its_vocabulary(void **state)
{
	struct rig r;
	struct model_spec spec;
	struct input_options input = {0};
	(void)state;
	texts_open(&r, true);
	spec = bag_spec(&r);
	teach(&r, &spec);
	spec = bag_spec(&r);
	gives_its_own_logits(&r, &spec, true);
	adapter_clear(&r.adapter); /* a smaller vocabulary: other ids, and other numbers of tokens */
	RIG_OK(rig_options(input_option_table, &input, "{vocabulary_size: 100}"));
	RIG_OK(adapter_make(&r.adapter, &input, &r.data, &r.data_options, ".", NULL));
	option_clear(input_option_table, &input);
	struct model_spec smaller = bag_spec(&r);
	gives_its_own_logits(&r, &smaller, false);
	close_reference(&r);
}

/* The gate is about the figure that the teacher reached when it was made. */
static void teacher__is_gated_by_its_own_figures(void **state)
{
	struct rig r;
	struct checkpoint c;
	(void)state;
	rig_open(&r, "source: digits");
	RIG_OK(rig_run(&r, &stage_train,
	    &(struct rig_case){
		.name = "teacher", .options = "{epochs: 4, batch_size: 32, lr: 0.01}", .spec = &mlp_spec}));
	RIG_OK(checkpoint_load(&c, rig_path(&r, "teacher")));
	const cJSON *val = cJSON_GetObjectItem(cJSON_GetObjectItem(c.info, "metrics"), "validation");
	const double reached = rig_number(val, "accuracy");
	struct stage_run run = {
	    .data = &r.data, .task = &r.task, .train_dev = r.dev, .teacher_dir = rig_path(&r, "teacher")};
	struct kd_options kd = {.gate = reached};
	struct teacher t;
	r.adapter.mean[0] = 0.9f; /* the student's matters not */
	RIG_OK(teacher_open(&t, &run, &kd));
	assert_true(t.score == reached);
	teacher_close(&t);
	kd.gate = reached + 1e-6;
	assert_int_equal(teacher_open(&t, &run, &kd), ERR_GATE);
	checkpoint_clear(&c);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(teacher__keeps_its_normalisation),
	    cmocka_unit_test(teacher__keeps_its_vocabulary),
	    cmocka_unit_test(teacher__is_gated_by_its_own_figures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

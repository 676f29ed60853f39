/* A small synthetic data set and a trainer for it on the reference backend. */
#ifndef TESTS_TRAIN_WORLD_H
#define TESTS_TRAIN_WORLD_H

#include "exec/rig.h"
#include "model/session.h"
#include "train/trainer.h"

enum { H = 5, W = 4, CLASSES = 3, N_TRAIN = 37, N_VAL = 131 };

/* Class k lights up row k over noise. */
static inline void fill_split(struct dataset *d, enum split split, int n)
{
	struct rng r = rng_make(9, "data", RNG_BENCH, split_names[split]);
	d->n[split] = n;
	d->split[split].pixels = malloc((size_t)n * H * W);
	d->split[split].label = malloc((size_t)n * sizeof(int32_t));
	for (int i = 0; i < n; i++) {
		d->split[split].label[i] = i % CLASSES;
		for (int p = 0; p < H * W; p++) {
			uint32_t noise = rng_draw(r, 0, (uint64_t)i, (uint32_t)p).w[0] % 150;
			d->split[split].pixels[i * H * W + p] = (uint8_t)(noise + (p / W == i % CLASSES ? 100 : 0));
		}
	}
}

struct world {
	struct device dev;
	struct param_store s;
	struct dataset data;
	struct adapter adapter;
	struct train_options o;
	struct trainer t;
	struct model_spec spec; /* borrowed: the arrays are static */
	int64_t spoil_epoch;    /* before this epoch (0-based), see spoil; -1: never */
	float spoil;            /* written into all of fc1.weight */
};

static inline int build_train(void *user, const struct build_shape *shape, struct graph *g)
{
	struct world *w = user;
	int rc = spec_build(g, &w->spec, shape);
	return rc ? rc : graph_add_ce(g, 0);
}

static inline int build_eval(void *user, const struct build_shape *shape, struct graph *g)
{
	struct world *w = user;
	return spec_build(g, &w->spec, shape);
}

static inline int before_epoch(void *user, int64_t epoch)
{
	struct world *w = user;
	float x[H * W * 8];
	if (epoch != w->spoil_epoch)
		return 0;
	for (int i = 0; i < H * W * 8; i++)
		x[i] = w->spoil;
	return params_write(&w->s, "fc1.weight", x);
}

static const struct model_spec world_spec = {.family = &family_mlp,
    .input = {.height = H, .width = W, .channels = 1},
    .classes = CLASSES,
    .n_width = 1,
    .width = (int[]){8},
    .own = &(struct mlp_spec){0}};

/* Of all worlds: results name the task that they are of, and outlive their world. */
static inline const struct task *world_task(void)
{
	static char *const names[CLASSES] = {"top", "second", "third"};
	static struct task task;
	if (!task.kind)
		assert_ok(task_default(&task, TARGET_CLASS, names, CLASSES));
	return &task;
}

static inline void world_open(struct world *w, uint64_t seed)
{
	struct graph g;
	memset(w, 0, sizeof(*w));
	w->spoil_epoch = -1;
	w->dev = rig_open(&ref_backend);
	w->spec = world_spec;
	w->data = (struct dataset){
	    .height = H, .width = W, .channels = 1, .classes = CLASSES, .class_name = world_task()->class_name};
	w->adapter = (struct adapter){.kind = &adapter_image, .spec = w->spec.input, .mean = {0.4f}, .std = {0.2f}};
	fill_split(&w->data, SPLIT_TRAIN, N_TRAIN);
	fill_split(&w->data, SPLIT_VAL, N_VAL);
	w->o = (struct train_options){.epochs = 8,
	    .batch_size = 8,
	    .accumulate = 1,
	    .optimizer = OPTIMIZER_ADAMW,
	    .lr = 0.02,
	    .beta1 = 0.9,
	    .beta2 = 0.999,
	    .eps = 1e-8,
	    .weight_decay = 0.01,
	    .schedule = SCHEDULE_COSINE,
	    .warmup = 0.05,
	    .clip_norm = 1};
	params_init(&w->s, w->dev);
	graph_init(&g);
	assert_ok(spec_build(&g, &w->spec, &shape_one));
	assert_ok(params_add_graph(&w->s, &g, seed));
	graph_clear(&g);
	w->t = (struct trainer){.o = &w->o,
	    .data = &w->data,
	    .adapter = &w->adapter,
	    .task = world_task(),
	    .stage = "tiny",
	    .seed = seed,
	    .dev = w->dev,
	    .params = &w->s,
	    .build_train = build_train,
	    .build_eval = build_eval,
	    .before_epoch = before_epoch,
	    .user = w};
}

/* From now on b, a variant of the reference. */
static inline void world_use(struct world *w, const struct backend *b)
{
	w->dev.backend = b;
	w->t.dev = w->s.dev = w->dev;
}

static inline void world_close(struct world *w)
{
	for (int i = 0; i < SPLIT_COUNT; i++) {
		free(w->data.split[i].pixels);
		free(w->data.split[i].label);
	}
	params_clear(&w->s);
	rig_close(w->dev);
}

/* Figures on a split of the weights as they are. m: cleared by the caller, also after an error. */
static inline int world_measure(struct world *w, enum split split, const volatile sig_atomic_t *stop, struct metrics *m)
{
	const struct session_options o = {.batch = 128};
	struct encoding e;
	struct session s;
	*m = (struct metrics){0};
	int rc = encoding_open(&e, &w->adapter, &w->data, split);
	if (rc)
		return rc;
	assert_ok(session_open(&s, &w->s, CLASSES, build_eval, w, &o));
	assert_ok(metrics_init(m, world_task()));
	rc = session_measure(&s, &e, stop, m, NULL);
	session_close(&s);
	encoding_close(&e);
	return rc;
}

static inline double world_accuracy(const struct metrics *m)
{
	return task_metric_value(m, task_metric_find(m->task, "accuracy"));
}

/* The option `monitor` as the number of its choice. */
static inline int world_monitor(const char *name)
{
	int i = 0;
	while (task_metric_choices[i] && strcmp(task_metric_choices[i], name) != 0)
		i++;
	assert_non_null(task_metric_choices[i]);
	return i;
}

/* All weights after a training, one after the other. */
static inline size_t weights(struct world *w, float *out)
{
	size_t n = 0;
	for (int i = 0; i < w->s.n; i++) {
		assert_ok(params_read(&w->s, w->s.item[i]->name, out + n));
		n += (size_t)shape_count(w->s.item[i]->value.shape);
	}
	return n;
}

/* A fit that runs out of memory at its n-th allocation is ERR_NOMEM, for every n. */
static inline void survive_each_failing_allocation(int precision)
{
	uint64_t total = 1;
	for (uint64_t i = 0; i <= total; i++) {
		struct world w;
		struct train_result r;
		world_open(&w, 3);
		w.o.epochs = 1;
		w.o.batch_size = 37;
		w.o.precision = precision;
		mem_fail_at(i);
		int rc = trainer_fit(&w.t, &r);
		if (i == 0)
			total = mem_count();
		mem_fail_at(0);
		assert_int_equal(rc, i == 0 ? 0 : ERR_NOMEM);
		train_result_clear(&r);
		world_close(&w);
	}
	assert_true(total > 40);
}

#endif

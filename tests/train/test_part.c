/* A part of a training: some of the samples, some of the epochs. */
#include "train/world.h"

static void fit(struct world *w, const struct train_part *part, float *out)
{
	struct train_result r;
	w->t.part = part;
	assert_ok(trainer_fit(&w->t, &r));
	assert_true(!r.best.task && r.best_epoch == 0);
	train_result_clear(&r);
	weights(w, out);
}

static void open_plain(struct world *w)
{
	world_open(w, 3);
	w->o.optimizer = OPTIMIZER_SGD;
	w->o.epochs = 6;
	w->o.lr = 0.1;
}

/* As if there were no other samples. */
static void part__trains_on_its_own_samples(void **state)
{
	static float part_of[400], alone[400], all[400];
	uint32_t own[N_TRAIN];
	struct encoding e;
	struct world w;
	int n = 0;
	(void)state;
	for (uint32_t i = 0; i < N_TRAIN; i++)
		if (i % 3 != 1)
			own[n++] = i;
	open_plain(&w);
	assert_ok(encoding_open(&e, &w.adapter, &w.data, SPLIT_TRAIN));
	fit(&w, &(struct train_part){.samples = &e, .sample = own, .n = n, .end_epoch = 6}, part_of);
	encoding_close(&e);
	world_close(&w);

	open_plain(&w);
	for (int i = 0; i < n; i++) {
		memmove(w.data.split[SPLIT_TRAIN].pixels + i * H * W, w.data.split[SPLIT_TRAIN].pixels + own[i] * H * W,
		    H * W);
		w.data.split[SPLIT_TRAIN].label[i] = w.data.split[SPLIT_TRAIN].label[own[i]];
	}
	w.data.n[SPLIT_TRAIN] = n;
	assert_ok(encoding_open(&e, &w.adapter, &w.data, SPLIT_TRAIN));
	for (int i = 0; i < n; i++)
		own[i] = (uint32_t)i;
	fit(&w, &(struct train_part){.samples = &e, .sample = own, .n = n, .end_epoch = 6}, alone);
	assert_memory_equal(part_of, alone, sizeof(alone));
	encoding_close(&e);
	world_close(&w);

	open_plain(&w);
	assert_ok(encoding_open(&e, &w.adapter, &w.data, SPLIT_TRAIN));
	for (uint32_t i = 0; i < N_TRAIN; i++)
		own[i] = i;
	fit(&w, &(struct train_part){.samples = &e, .sample = own, .n = N_TRAIN, .end_epoch = 6}, all);
	assert_memory_not_equal(part_of, all, sizeof(all));
	encoding_close(&e);
	world_close(&w);
}

/* Without momentum, three parts one after the other are the whole: order and schedule go on. */
static void part__goes_on_where_the_last_one_ended(void **state)
{
	static float whole[400], parts[400];
	uint32_t own[N_TRAIN];
	struct encoding e;
	(void)state;
	for (uint32_t i = 0; i < N_TRAIN; i++)
		own[i] = i;
	for (int k = 0; k < 2; k++) {
		struct world w;
		open_plain(&w);
		assert_ok(encoding_open(&e, &w.adapter, &w.data, SPLIT_TRAIN));
		struct train_part part = {.samples = &e, .sample = own, .n = N_TRAIN};
		for (int64_t end = k ? 2 : 6; end <= 6; end += 2) {
			part.end_epoch = end;
			fit(&w, &part, k ? parts : whole);
			part.first_epoch = end;
		}
		encoding_close(&e);
		world_close(&w);
	}
	assert_memory_equal(whole, parts, sizeof(whole));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(part__trains_on_its_own_samples),
	    cmocka_unit_test(part__goes_on_where_the_last_one_ended),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Weights of an early epoch: train keeps them, and prune goes back to them after each round's masks. */
#include "stages/rig.h"

#include <math.h>

#include "base/hash.h"
#include "stages/early.h"
#include "stages/prune.h"

static const struct model_spec mlp_spec = {.family = &family_mlp,
    .input = {.height = 8, .width = 8, .channels = 1},
    .classes = 10,
    .n_width = 2,
    .width = (int[]){16, 12},
    .own = &(struct mlp_spec){0}};
static const char *const weights[] = {"fc1.weight", "fc2.weight", "fc3.weight"};
enum { WEIGHTS = 64 * 16 + 16 * 12 + 12 * 10 };

#define TRAIN "batch_size: 64, lr: 0.005, schedule: constant, warmup: 0}"

static struct rig digits;

static int set_up(void **state)
{
	(void)state;
	rig_open(&digits, "source: digits");
	RIG_OK(rig_run(&digits, &stage_train,
	    &(struct rig_case){.name = "mlp", .options = "{epochs: 5, rewind_epoch: 2, " TRAIN, .spec = &mlp_spec}));
	RIG_OK(rig_run(&digits, &stage_train,
	    &(struct rig_case){.name = "mlp", .folder = "none", .options = "{epochs: 2, " TRAIN, .spec = &mlp_spec}));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig_close(&digits);
	return 0;
}

static void read_early(const char *folder, struct checkpoint *c, struct early_weights *e)
{
	RIG_OK(checkpoint_load(c, rig_path(&digits, folder)));
	RIG_OK(early_read(e, rig_path(&digits, folder), c));
}

static void assert_equal(const struct tensor_file *a, const struct tensor_file *b)
{
	assert_int_equal(a->n, b->n);
	for (int i = 0; i < a->n; i++) {
		const struct named_tensor *t = tensor_file_find(b, a->item[i].name);
		assert_non_null(t);
		assert_memory_equal(t->t.data, a->item[i].t.data, tensor_bytes(&t->t));
	}
}

/* ---- what train keeps ---- */

static void train__keeps_the_weights_after_the_epoch(void **state)
{
	struct checkpoint five, two;
	struct early_weights e;
	(void)state;
	read_early("mlp", &five, &e);
	assert_int_equal(e.epoch, 2);
	RIG_OK(checkpoint_load(&two, rig_path(&digits, "none"))); /* the same training, which ended there */
	assert_true(rig_number(cJSON_GetObjectItem(two.info, "training"), "best_epoch") == 2);
	assert_equal(&e.tensors, &two.tensors);
	early_clear(&e);
	checkpoint_clear(&five);
	checkpoint_clear(&two);
}

static void train__keeps_the_initial_weights(void **state)
{
	struct checkpoint c;
	struct early_weights e, initial = {0};
	struct model m;
	(void)state;
	RIG_OK(rig_run(&digits, &stage_train,
	    &(struct rig_case){.name = "start", .options = "{epochs: 1, rewind_epoch: 0, " TRAIN, .spec = &mlp_spec}));
	read_early("start", &c, &e);
	RIG_OK(model_init(&m, &mlp_spec, &digits.adapter, &digits.task, digits.dev, 42));
	RIG_OK(early_take(&initial, &m.params));
	assert_equal(&e.tensors, &initial.tensors);
	early_clear(&e);
	early_clear(&initial);
	model_clear(&m);
	checkpoint_clear(&c);
}

static volatile sig_atomic_t stop_now;
static int lines_left;

static void stop_at_line(struct progress *p, const char *text)
{
	(void)p;
	(void)text;
	stop_now = --lines_left == 0;
}

static void hash_of(const char *folder, char hex[HASH_HEX])
{
	char path[64];
	snprintf(path, sizeof(path), "%s/" EARLY_FILE, folder);
	RIG_OK(hash_file(rig_path(&digits, path), hex));
}

/* Wherever it was interrupted, before the epoch or long after. */
static void train__keeps_them_through_interruptions(void **state)
{
	struct progress progress = {.line = stop_at_line};
	struct rig_case c = {.name = "mlp",
	    .folder = "stopped",
	    .options = "{epochs: 5, rewind_epoch: 2, " TRAIN,
	    .spec = &mlp_spec,
	    .resume = "stopped.resume",
	    .progress = &progress,
	    .stop = &stop_now};
	char want[HASH_HEX], have[HASH_HEX];
	int interrupted = 0;
	(void)state;
	hash_of("mlp", want);
	for (int line = 1; line <= 4; line++) {
		lines_left = line;
		int rc = rig_run(&digits, &stage_train, &c);
		interrupted += rc == ERR_INTERRUPTED;
		stop_now = lines_left = 0;
		if (rc == ERR_INTERRUPTED)
			RIG_OK(rig_run(&digits, &stage_train, &c));
		hash_of("stopped", have);
		assert_string_equal(have, want);
		RIG_OK(fs_remove_tree(rig_path(&digits, "stopped")));
		resume_remove(rig_path(&digits, "stopped.resume"));
	}
	assert_int_equal(interrupted, 4);
}

static void train__keeps_none_unless_asked(void **state)
{
	struct checkpoint c;
	(void)state;
	RIG_OK(checkpoint_load(&c, rig_path(&digits, "none")));
	assert_false(early_is_kept(c.info));
	assert_false(fs_exists(rig_path(&digits, "none/" EARLY_FILE)));
	checkpoint_clear(&c);
}

/* ---- going back ---- */

/* With a learning rate of 0 what is left is what was gone back to, and the masks are those of the trained weights. */
static void prune__resets_what_is_left_and_masks_by_what_was_trained(void **state)
{
	struct checkpoint input, c;
	struct early_weights e;
	float largest = 0, smallest = INFINITY;
	int masked = 0;
	(void)state;
	RIG_OK(rig_run(&digits, &stage_prune,
	    &(struct rig_case){.name = "ticket",
		.options = "{sparsity: 0.5, rewind: true, epochs: 1, lr: 0, weight_decay: 0}",
		.input = "mlp"}));
	read_early("mlp", &input, &e);
	RIG_OK(checkpoint_load(&c, rig_path(&digits, "ticket")));
	for (int k = 0; k < 3; k++) {
		char name[32];
		snprintf(name, sizeof(name), "%s.mask", weights[k]);
		const struct named_tensor *mask = tensor_file_find(&c.tensors, name);
		const float *w = tensor_file_find(&c.tensors, weights[k])->t.data,
			    *early = tensor_file_find(&e.tensors, weights[k])->t.data,
			    *trained = tensor_file_find(&input.tensors, weights[k])->t.data;
		const int64_t n = shape_count(tensor_file_find(&c.tensors, weights[k])->t.shape);
		for (int64_t i = 0; i < n; i++) {
			const bool kept = checkpoint_mask_keeps(mask, i);
			masked += !kept;
			assert_memory_equal(&w[i], kept ? &early[i] : &(float){0}, sizeof(*w));
			if (kept)
				smallest = fminf(smallest, fabsf(trained[i]));
			else
				largest = fmaxf(largest, fabsf(trained[i]));
		}
	}
	assert_int_equal(masked, WEIGHTS / 2);
	assert_true(largest <= smallest);
	assert_true(rig_number(cJSON_GetObjectItem(c.info, "pruning"), "rewind_epoch") == 2);
	assert_false(early_is_kept(c.info));
	/* Also before a step of training has seen the masks. */
	struct model m;
	float w[16 * 64];
	rig_load(&digits, "ticket", &m);
	RIG_OK(early_put(&e, &m.params));
	RIG_OK(params_read(&m.params, "fc1.weight", w));
	assert_memory_equal(w, tensor_file_find(&c.tensors, "fc1.weight")->t.data, sizeof(w));
	model_clear(&m);
	early_clear(&e);
	checkpoint_clear(&input);
	checkpoint_clear(&c);
}

/* Half of what is left in each of two rounds; and a ticket that is trained is better than one that is not. */
static void prune__takes_the_same_share_of_what_is_left(void **state)
{
	const struct prune_options o = {.sparsity = 0.75, .iterations = 2, .rewind = true};
	double loss[2];
	(void)state;
	assert_true(fabs(prune_share_from(&o, 0, 1) - 0.5) < 1e-12);
	assert_true(fabs(prune_share_from(&o, 0.5, 1) - (1 - 0.5 * sqrt(0.5))) < 1e-12);
	assert_true(fabs(prune_share_from(&o, 0.5, 2) - 0.75) < 1e-12);
	for (int trained = 0; trained < 2; trained++) {
		struct checkpoint c;
		cJSON *s = NULL;
		RIG_OK(rig_run(&digits, &stage_prune,
		    &(struct rig_case){.name = "rounds",
			.folder = trained ? "trained" : "untrained",
			.options = trained ? "{sparsity: 0.75, iterations: 2, rewind: true, epochs: 4, lr: 0.005}"
					   : "{sparsity: 0.75, iterations: 2, rewind: true, epochs: 1, lr: 0}",
			.input = "mlp",
			.summary = &s}));
		loss[trained] = rig_val(s, "loss");
		cJSON_Delete(s);
		RIG_OK(checkpoint_load(&c, rig_path(&digits, trained ? "trained" : "untrained")));
		assert_true(rig_number(cJSON_GetObjectItem(c.info, "parameters"), "zero") >= 0.75 * WEIGHTS);
		checkpoint_clear(&c);
	}
	assert_true(loss[1] < 0.8 * loss[0]);
}

/* ---- what is refused ---- */

static void assert_refused(const char *input, int want, const char *part)
{
	int rc = rig_run(&digits, &stage_prune,
	    &(struct rig_case){
		.name = "refused", .options = "{sparsity: 0.5, rewind: true, epochs: 1}", .input = input});
	assert_int_equal(rc, want);
	if (!strstr(err_message(), part))
		fail_msg("message '%s' does not hold '%s'", err_message(), part);
}

static void write_early(const char *folder, const void *data, size_t n)
{
	char path[64];
	snprintf(path, sizeof(path), "%s/" EARLY_FILE, folder);
	RIG_OK(fs_write(rig_path(&digits, path), data, n));
}

static void prune__refuses_an_input_without_them(void **state)
{
	struct prune_options o = {0};
	struct stage_plan p = {0};
	(void)state;
	assert_refused("none", ERR_CONFIG, "none: keeps no weights of an early epoch");
	RIG_OK(rig_options(prune_option_table, &o, "{sparsity: 0.5, rewind: true, epochs: 1}"));
	struct stage_run run = {.name = "p",
	    .options = &o,
	    .data = &digits.data,
	    .data_options = &digits.data_options,
	    .train_dev = digits.dev,
	    .cpu_dev = digits.dev,
	    .adapter = &digits.adapter,
	    .task = &digits.task,
	    .input_lacks_early = true};
	assert_int_equal(stage_prune.plan(&run, &mlp_spec, &p), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "with rewind_epoch"));
	run.input_lacks_early = false;
	RIG_OK(stage_prune.plan(&run, &mlp_spec, &p));
	assert_non_null(strstr(p.text, "train what is left from its early weights for 1 epochs"));
	spec_clear(&p.spec);
	mask_forecast_clear(&p.masks);
	option_clear(prune_option_table, &o);
}

static void prune__refuses_a_damaged_file(void **state)
{
	struct fs_bytes b = {0};
	(void)state;
	RIG_OK(fs_read(rig_path(&digits, "mlp/" EARLY_FILE), &b));
	b.data[b.size - 1] ^= 1;
	write_early("mlp", b.data, b.size);
	assert_refused("mlp", ERR_CHECKPOINT, "but checkpoint_info.json says");
	assert_int_equal(unlink(rig_path(&digits, "mlp/" EARLY_FILE)), 0);
	assert_refused("mlp", ERR_CHECKPOINT, "missing, but checkpoint_info.json has its hash");
	b.data[b.size - 1] ^= 1;
	write_early("mlp", b.data, b.size);
	fs_bytes_clear(&b);
}

/* A file that is whole, and of another model. */
static void early__of_another_model_is_refused(void **state)
{
	struct checkpoint c;
	struct early_weights e;
	int narrow[] = {16, 11}, *wide;
	(void)state;
	RIG_OK(checkpoint_load(&c, rig_path(&digits, "mlp")));
	wide = c.spec.width;
	c.spec.width = narrow;
	assert_int_equal(early_read(&e, rig_path(&digits, "mlp"), &c), ERR_CHECKPOINT);
	assert_non_null(strstr(err_message(), "not of the type and shape"));
	c.spec.width = wide;
	checkpoint_clear(&c);
}

static void assert_check(const struct stage_kind *kind, const char *text, const char *key, const char *part)
{
	void *options = mem_alloc(1, kind->options_size);
	const char *found = NULL;
	int rc = rig_options(kind->table, options, text);
	if (!rc)
		rc = kind->check(options, &mlp_spec, &found);
	option_clear(kind->table, options);
	mem_free(options);
	assert_int_equal(rc, part ? ERR_CONFIG : 0);
	if (part && !strstr(err_message(), part))
		fail_msg("message '%s' does not hold '%s'", err_message(), part);
	if (part && key)
		assert_string_equal(found, key);
}

static void options__that_contradict_each_other_are_errors(void **state)
{
	(void)state;
	assert_check(&stage_train, "{epochs: 3, rewind_epoch: 2}", NULL, NULL);
	assert_check(&stage_train, "{epochs: 3, rewind_epoch: 3}", "rewind_epoch", "it must be below");
	assert_check(&stage_train, "{epochs: 9, rewind_epoch: 2, patience: 2}", NULL, NULL);
	assert_check(&stage_train, "{epochs: 9, rewind_epoch: 3, patience: 2}", "rewind_epoch", "may end before");
	assert_check(&stage_prune, "{sparsity: 0.5, iterations: 3, rewind: true}", NULL, NULL);
	assert_check(&stage_prune, "{sparsity: 0.5, rewind: true, epochs: 0}", "rewind", "must be trained again");
	assert_check(&stage_prune, "{sparsity: 0.5, rewind: true, ramp: cubic}", "ramp", "a ramp and rewind both");
	assert_check(&stage_prune, "{sparsity: 0.5, iterations: 2, ramp: cubic}", "ramp", "a ramp and iterations both");
	assert_check(&stage_prune, "{method: structured, sparsity: 0.5, rewind: true}", NULL, "rewind has no effect");
	assert_check(&stage_prune, "{method: nm, rewind: true}", NULL, "rewind has no effect");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(train__keeps_the_weights_after_the_epoch),
	    cmocka_unit_test(train__keeps_the_initial_weights),
	    cmocka_unit_test(train__keeps_them_through_interruptions),
	    cmocka_unit_test(train__keeps_none_unless_asked),
	    cmocka_unit_test(prune__resets_what_is_left_and_masks_by_what_was_trained),
	    cmocka_unit_test(prune__takes_the_same_share_of_what_is_left),
	    cmocka_unit_test(prune__refuses_an_input_without_them),
	    cmocka_unit_test(prune__refuses_a_damaged_file),
	    cmocka_unit_test(early__of_another_model_is_refused),
	    cmocka_unit_test(options__that_contradict_each_other_are_errors),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

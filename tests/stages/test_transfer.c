/* Learning from texts without labels: they count as their formula says, in every epoch, and are known afterwards. */
#include "stages/texts.h"

#include "data/transfer.h"
#include "stages/seen.h"

#define STEPS "epochs: 3, batch_size: 24, lr: 0.003"

static struct rig texts;
static struct transfer transfer;
static struct bag_spec bag_own;
static int bag_width[] = {10};
static struct model_spec bag;

static void read_transfer(void)
{
	char path[512], *files[] = {path};
	const struct transfer_options o = {.files = {.v = files, .n = 1}};
	snprintf(path, sizeof(path), "%s", rig_path(&texts, "transfer.txt"));
	RIG_OK(fs_write(path, "ab cb zzzz\nwwww da\nqqqq ec fb\nga hb ic\nzzzz wwww\n", 49));
	RIG_OK(transfer_read(&transfer, &o, &texts.data_options, ".", &texts.data));
	assert_int_equal(transfer.n, 5);
}

static void open_texts(bool several)
{
	texts_open(&texts, several);
	bag = (struct model_spec){.family = &family_bag,
	    .input = texts.adapter.spec,
	    .classes = texts.data.classes,
	    .n_width = 1,
	    .width = bag_width,
	    .own = &bag_own};
	read_transfer();
	RIG_OK(rig_run(
	    &texts, &stage_train, &(struct rig_case){.name = "teacher", .options = "{" STEPS "}", .spec = &bag}));
}

static void close_texts(void)
{
	transfer_clear(&transfer);
	rig_close(&texts);
}

static void distill(const char *folder, const char *options, const struct transfer *t)
{
	RIG_OK(rig_run(&texts, &stage_distill,
	    &(struct rig_case){.name = "student",
		.folder = folder,
		.options = options,
		.teacher = "teacher",
		.spec = &bag,
		.transfer = t}));
}

static void hash_of(const char *folder, char hex[HASH_HEX])
{
	char path[600];
	snprintf(path, sizeof(path), "%s/model.safetensors", rig_path(&texts, folder));
	RIG_OK(hash_file(path, hex));
}

static void compare(const char *a, const char *b, bool same)
{
	char x[HASH_HEX], y[HASH_HEX];
	hash_of(a, x);
	hash_of(b, y);
	if ((strcmp(x, y) == 0) != same)
		fail_msg("%s and %s are %s", a, b, same ? "not the same" : "the same");
}

/* Where labels do not count, it makes no difference whether a text has one. */
static void transfer__of_soft_targets_alone_is_learned_like_training_texts(void **state)
{
	struct dataset own, joined;
	(void)state;
	for (int several = 0; several < 2; several++) {
		open_texts(several);
		distill("beside", "{" STEPS ", alpha: 1}", &transfer);
		RIG_OK(dataset_join_transfer(&joined, &texts.data, &transfer));
		const int64_t n = texts.data.n[SPLIT_TRAIN];
		for (int64_t i = n; i < joined.n[SPLIT_TRAIN]; i++) {
			if (several)
				memset(joined.split[SPLIT_TRAIN].label_set + 3 * i, 1, 3);
			else
				joined.split[SPLIT_TRAIN].label[i] = 1;
		}
		own = texts.data;
		texts.data = joined;
		distill("among", "{" STEPS ", alpha: 1}", NULL);
		compare("beside", "among", true);
		/* with labels that count, these would be wrong ones */
		distill("labelled", "{" STEPS ", alpha: 0.5}", NULL);
		texts.data = own;
		dataset_leave_transfer(&joined);
		distill("half", "{" STEPS ", alpha: 0.5}", &transfer);
		compare("labelled", "half", false);
		distill("without", "{" STEPS ", alpha: 0.5}", NULL);
		compare("half", "without", false);
		close_texts();
	}
}

/* Every text is seen as often as every sample: an epoch is a pass over both. */
static void transfer__is_part_of_every_epoch(void **state)
{
	cJSON *with, *without;
	struct rig_case c = {.name = "student",
	    .options = "{epochs: 2, batch_size: 1, lr: 0.001}",
	    .teacher = "teacher",
	    .spec = &bag,
	    .summary = &without};
	struct model m;
	(void)state;
	open_texts(true);
	RIG_OK(rig_run(&texts, &stage_distill, &c));
	rig_load(&texts, "student", &m);
	const double steps = rig_number(cJSON_GetObjectItem(m.ckpt.info, "training"), "steps");
	assert_true(steps == (double)(2 * texts.data.n[SPLIT_TRAIN]));
	assert_null(cJSON_GetObjectItem(m.ckpt.info, "transfer"));
	model_clear(&m);
	c.transfer = &transfer;
	c.summary = &with;
	c.folder = "more";
	RIG_OK(rig_run(&texts, &stage_distill, &c));
	rig_load(&texts, "more", &m);
	const double more = rig_number(cJSON_GetObjectItem(m.ckpt.info, "training"), "steps");
	assert_true(more == steps + 2 * 5);
	assert_true(rig_number(cJSON_GetObjectItem(m.ckpt.info, "transfer"), "texts") == 5);
	model_clear(&m);
	cJSON_Delete(with);
	cJSON_Delete(without);
	close_texts();
}

/* What was learned from must be known when the model is tested. */
static void transfer__is_among_the_prints_of_the_student(void **state)
{
	struct prints kept[SPLIT_COUNT], own;
	struct model m;
	bool known;
	(void)state;
	open_texts(false);
	distill("student", "{" STEPS "}", &transfer);
	rig_load(&texts, "student", &m);
	RIG_OK(seen_read(rig_path(&texts, "student"), &m.ckpt, kept, &known));
	assert_true(known);
	RIG_OK(transfer_prints(&transfer, &own));
	assert_int_equal(own.n, 5);
	assert_int_equal(prints_overlap(&own, &kept[SPLIT_TRAIN]), 5);
	assert_int_equal(kept[SPLIT_TRAIN].n, texts.data.n[SPLIT_TRAIN] + 5);
	prints_clear(&own);
	for (int s = 0; s < SPLIT_COUNT; s++)
		prints_clear(&kept[s]);
	model_clear(&m);
	close_texts();
}

static volatile sig_atomic_t stop_now;

static void stop_after_epoch(struct progress *p, const char *line)
{
	(void)p;
	stop_now = strncmp(line, "epoch 1", 7) == 0;
}

static void transfer__survives_an_interruption(void **state)
{
	struct progress progress = {.line = stop_after_epoch};
	struct rig_case c = {.name = "student",
	    .folder = "cut",
	    .options = "{" STEPS "}",
	    .teacher = "teacher",
	    .spec = &bag,
	    .transfer = &transfer,
	    .resume = "state",
	    .progress = &progress,
	    .stop = &stop_now};
	(void)state;
	open_texts(true);
	distill("straight", "{" STEPS "}", &transfer);
	assert_int_equal(rig_run(&texts, &stage_distill, &c), ERR_INTERRUPTED);
	c.progress = NULL;
	stop_now = 0;
	RIG_OK(rig_run(&texts, &stage_distill, &c));
	compare("straight", "cut", true);
	close_texts();
}

static double train_loss(const char *folder)
{
	struct model m;
	rig_load(&texts, folder, &m);
	const double loss = rig_number(cJSON_GetObjectItem(m.ckpt.info, "training"), "train_loss");
	model_clear(&m);
	return loss;
}

/* A student that is its teacher is nothing apart from it, if both see the same changed texts. */
static void augment__changes_what_the_teacher_sees_too(void **state)
{
	const char *options = "{init: teacher_pruned, epochs: 1, lr: 0, batch_size: 8, alpha: 1}";
	struct rig_case c = {
	    .name = "alone", .options = "{epochs: 1, lr: 0, batch_size: 8}", .input = NULL, .spec = &bag};
	struct input_options input = {0};
	const char *key;
	(void)state;
	open_texts(false);
	RIG_OK(rig_run(&texts, &stage_train, &c));
	texts.data_options.augment.token_drop = texts.data_options.augment.token_replace = 0.3;
	c.folder = "alone_changed";
	RIG_OK(rig_run(&texts, &stage_train, &c));
	assert_true(
	    train_loss("alone") < train_loss("alone_changed") || train_loss("alone") > train_loss("alone_changed"));
	distill("same", options, &transfer);
	assert_true(train_loss("same") < 1e-9);
	/* it cannot where it cuts texts in another way */
	adapter_clear(&texts.adapter);
	RIG_OK(rig_options(input_option_table, &input, "{vocabulary_size: 100}"));
	RIG_OK(adapter_make(&texts.adapter, &input, &texts.data, &texts.data_options, ".", &key));
	option_clear(input_option_table, &input);
	bag.input = texts.adapter.spec;
	c = (struct rig_case){.name = "other", .options = "{epochs: 1}", .teacher = "teacher", .spec = &bag};
	assert_int_equal(rig_run(&texts, &stage_distill, &c), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "the teacher cuts texts in another way"));
	close_texts();
}

/* Pruning that fine-tunes and quantization that trains learn from them, too. */
static void transfer__serves_every_stage_with_a_teacher(void **state)
{
	struct rig_case c = {.name = "prune",
	    .folder = "pruned",
	    .options = "{sparsity: 0.5, epochs: 2, batch_size: 24}",
	    .input = "teacher",
	    .teacher = "teacher"};
	(void)state;
	open_texts(false);
	RIG_OK(rig_run(&texts, &stage_prune, &c));
	c.transfer = &transfer;
	c.folder = "pruned_more";
	RIG_OK(rig_run(&texts, &stage_prune, &c));
	compare("pruned", "pruned_more", false);
	c.options = "{method: qat, epochs: 1, batch_size: 24, calibration_batch_size: 8}";
	c.name = "qat";
	c.folder = "qat_more";
	RIG_OK(rig_run(&texts, &stage_quantize, &c));
	c.folder = "qat";
	c.transfer = NULL;
	RIG_OK(rig_run(&texts, &stage_quantize, &c));
	compare("qat", "qat_more", false);
	close_texts();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(transfer__of_soft_targets_alone_is_learned_like_training_texts),
	    cmocka_unit_test(transfer__is_part_of_every_epoch),
	    cmocka_unit_test(transfer__is_among_the_prints_of_the_student),
	    cmocka_unit_test(transfer__survives_an_interruption),
	    cmocka_unit_test(augment__changes_what_the_teacher_sees_too),
	    cmocka_unit_test(transfer__serves_every_stage_with_a_teacher),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

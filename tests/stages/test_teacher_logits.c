/* Logits of a teacher that are computed once: a student that learns from them has the same bytes whether they were
 * computed now, earlier, or after an interruption; and what is not theirs is never used. */
#include "stages/texts.h"

#include <sys/stat.h>

#include "stages/teacher_logits.h"

#define STEPS "epochs: 2, batch_size: 24, lr: 0.003"

static struct rig texts;
static struct encoder_spec own = {.hidden = 16,
    .head_size = 8,
    .positions = 128,
    .norm = ENCODER_NORM_POST,
    .activation = ENCODER_GELU,
    .pooling = ENCODER_POOLING_MEAN,
    .pooler = ENCODER_POOLER_NONE,
    .eps = 1e-12f,
    .dropout = 0.05f};
static struct bag_spec bag_own;
static int encoder_width[] = {2, 24}, bag_width[] = {10};
static struct model_spec encoder, bag;

/* What a stage has said. */
static struct str said;
static volatile sig_atomic_t stop_now;
static const char *resume; /* where a state is kept, if one is wanted */
static const char *stop_at;

static void note(struct progress *p, const char *line)
{
	(void)p;
	str_addf(&said, "%s\n", line);
	if (stop_at && strncmp(line, stop_at, strlen(stop_at)) == 0)
		stop_now = 1;
}

static bool has_said(const char *text)
{
	return strstr(str_text(&said), text) != NULL;
}

static int set_up(void **state)
{
	(void)state;
	texts_open(&texts, true);
	encoder = (struct model_spec){.family = &family_encoder,
	    .input = texts.adapter.spec,
	    .classes = texts.data.classes,
	    .n_width = 2,
	    .width = encoder_width,
	    .own = &own};
	bag = (struct model_spec){.family = &family_bag,
	    .input = texts.adapter.spec,
	    .classes = texts.data.classes,
	    .n_width = 1,
	    .width = bag_width,
	    .own = &bag_own};
	RIG_OK(rig_run(
	    &texts, &stage_train, &(struct rig_case){.name = "teacher", .options = "{" STEPS "}", .spec = &encoder}));
	RIG_OK(rig_run(&texts, &stage_quantize,
	    &(struct rig_case){.name = "integers", .options = "{method: static}", .input = "teacher"}));
	RIG_OK(fs_mkdirs(rig_path(&texts, "store")));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	str_clear(&said);
	rig_close(&texts);
	return 0;
}

static int distill(const char *folder, const char *teacher, const char *options, const char *store)
{
	struct progress progress = {.line = note};
	str_clear(&said);
	return rig_run(&texts, &stage_distill,
	    &(struct rig_case){.name = "student",
		.folder = folder,
		.options = options,
		.teacher = teacher,
		.spec = &bag,
		.resume = resume,
		.store = store,
		.progress = &progress,
		.stop = &stop_now});
}

static void hash_of(const char *folder, char hex[HASH_HEX])
{
	char path[600];
	snprintf(path, sizeof(path), "%s/model.safetensors", rig_path(&texts, folder));
	RIG_OK(hash_file(path, hex));
}

static void assert_same(const char *a, const char *b)
{
	char x[HASH_HEX], y[HASH_HEX];
	hash_of(a, x);
	hash_of(b, y);
	assert_string_equal(x, y);
}

/* The only file of the store. */
static const char *kept_file(const char *store)
{
	static char path[700];
	struct fs_list list;
	RIG_OK(fs_list(rig_path(&texts, store), &list));
	assert_int_equal(list.n, 1);
	snprintf(path, sizeof(path), "%s/%s", rig_path(&texts, store), list.name[0]);
	fs_list_clear(&list);
	return path;
}

static int files_of(const char *store)
{
	struct fs_list list;
	RIG_OK(fs_list(rig_path(&texts, store), &list));
	const int n = list.n;
	fs_list_clear(&list);
	return n;
}

static void new_store(const char *name)
{
	RIG_OK(fs_remove_tree(rig_path(&texts, name)));
	RIG_OK(fs_mkdirs(rig_path(&texts, name)));
}

static void logits__kept_computed_and_alone_give_the_same_student(void **state)
{
	(void)state;
	new_store("store");
	RIG_OK(distill("cold", "teacher", "{" STEPS "}", "store"));
	assert_true(has_said("samples: computed in"));
	RIG_OK(distill("warm", "teacher", "{" STEPS "}", "store"));
	assert_true(has_said("samples: taken from"));
	assert_false(has_said("computed in"));
	RIG_OK(distill("once", "teacher", "{" STEPS ", teacher_logits: once}", "store"));
	assert_true(has_said("samples: computed in"));
	RIG_OK(distill("nowhere", "teacher", "{" STEPS "}", NULL));
	assert_same("cold", "warm");
	assert_same("cold", "once");
	assert_same("cold", "nowhere");
	assert_int_equal(files_of("store"), 1);
}

/* Integers have no order of additions: there the logits of a step are those of the pass, to the bit. */
static void logits__of_integers_are_those_of_every_step(void **state)
{
	(void)state;
	new_store("store");
	RIG_OK(distill("kept", "integers", "{" STEPS "}", "store"));
	RIG_OK(distill("step", "integers", "{" STEPS ", teacher_logits: step}", "store"));
	assert_true(has_said("the teacher runs in every step"));
	assert_same("kept", "step");
}

/* Another student, with other batches, finds them too: it is the teacher's samples that count. */
static void logits__are_shared_by_students(void **state)
{
	struct model_spec other = bag;
	int width[] = {7};
	(void)state;
	new_store("store");
	RIG_OK(distill("one", "teacher", "{" STEPS "}", "store"));
	other.width = width;
	struct model_spec kept = bag;
	bag = other;
	RIG_OK(distill("two", "teacher", "{epochs: 1, batch_size: 50, accumulate: 2, temperature: 3}", "store"));
	bag = kept;
	assert_true(has_said("samples: taken from"));
}

static void logits__of_another_teacher_or_other_samples_have_another_key(void **state)
{
	(void)state;
	new_store("store");
	RIG_OK(distill("one", "teacher", "{" STEPS "}", "store"));
	RIG_OK(distill("two", "integers", "{" STEPS "}", "store"));
	assert_int_equal(files_of("store"), 2);
	uint64_t *print = texts.data.split[SPLIT_TRAIN].print;
	const uint64_t first = print[0];
	print[0] = print[1]; /* the order is another one, the set the same */
	print[1] = first;
	RIG_OK(distill("three", "teacher", "{" STEPS "}", "store"));
	print[1] = print[0];
	print[0] = first;
	assert_int_equal(files_of("store"), 3);
}

static void damage(const char *path, size_t at, bool cut)
{
	struct fs_bytes b;
	RIG_OK(fs_read(path, &b));
	b.data[at] ^= 1;
	RIG_OK(fs_write(path, b.data, cut ? at : b.size));
	fs_bytes_clear(&b);
}

static void computes_anew(const char *why)
{
	RIG_OK(distill("anew", "teacher", "{" STEPS "}", "store"));
	if (!has_said("warning: the teacher's logits are computed anew: ") || !has_said(why))
		fail_msg("not '%s': %s", why, str_text(&said));
	assert_true(has_said("samples: computed in"));
	assert_same("whole", "anew");
	RIG_OK(distill("mended", "teacher", "{" STEPS "}", "store"));
	assert_true(has_said("samples: taken from"));
	assert_same("whole", "mended");
}

static void logits__that_were_changed_are_computed_anew(void **state)
{
	char kept[700], other[700];
	struct fs_bytes b;
	(void)state;
	new_store("store");
	RIG_OK(distill("whole", "teacher", "{" STEPS "}", "store"));
	snprintf(kept, sizeof(kept), "%s", kept_file("store"));
	damage(kept, 100, false); /* a logit */
	computes_anew("its hash does not fit its content");
	damage(kept, 1000, true);
	computes_anew("1000 bytes; the logits of these samples are ");
	damage(kept, 10, false); /* the key */
	computes_anew("holds other logits than those of its name");
	chmod(kept, 0664);
	computes_anew("others may write to it");
	snprintf(other, sizeof(other), "%s", rig_path(&texts, "elsewhere"));
	assert_int_equal(rename(kept, other), 0);
	assert_int_equal(symlink(other, kept), 0);
	computes_anew("Too many levels of symbolic links");
	/* whole and sealed, but of another teacher */
	new_store("others");
	RIG_OK(distill("two", "integers", "{" STEPS "}", "others"));
	RIG_OK(fs_read(kept_file("others"), &b));
	RIG_OK(fs_write(kept, b.data, b.size));
	fs_bytes_clear(&b);
	computes_anew("holds other logits than those of its name");
	assert_int_equal(files_of("store"), 1);
}

/* A folder that cannot be written to costs the file, not the training. */
static void logits__that_cannot_be_kept_are_used_all_the_same(void **state)
{
	(void)state;
	RIG_OK(distill("plain", "teacher", "{" STEPS ", teacher_logits: once}", NULL));
	RIG_OK(distill("lost", "teacher", "{" STEPS "}", "no/such/folder"));
	assert_true(has_said("warning: the teacher's logits are not kept: "));
	assert_same("plain", "lost");
}

static void logits__survive_an_interruption(void **state)
{
	(void)state;
	new_store("store");
	RIG_OK(distill("straight", "teacher", "{" STEPS "}", "store"));
	resume = "state";
	for (int removed = 0; removed < 2; removed++) {
		stop_at = "epoch 1";
		assert_int_equal(distill("cut", "teacher", "{" STEPS "}", "store"), ERR_INTERRUPTED);
		stop_at = NULL;
		stop_now = 0;
		if (removed)
			new_store("store");
		RIG_OK(distill("cut", "teacher", "{" STEPS "}", "store"));
		assert_true(has_said("going on in epoch 2"));
		assert_true(has_said(removed ? "computed in" : "taken from"));
		assert_same("straight", "cut");
		resume_remove(rig_path(&texts, resume));
	}
	resume = NULL;
	new_store("store");
	stop_now = 1;
	assert_int_equal(distill("early", "teacher", "{" STEPS "}", "store"), ERR_INTERRUPTED);
	assert_int_equal(files_of("store"), 0);
	stop_now = 0;
}

static void logits__of_layers_are_computed_in_every_step(void **state)
{
	struct model_spec kept = bag;
	(void)state;
	new_store("store");
	bag = encoder;
	RIG_OK(distill("hidden", "teacher", "{" STEPS ", method: hidden}", "store"));
	assert_true(has_said("the teacher runs in every step: layers are compared"));
	assert_int_equal(files_of("store"), 0);
	assert_int_equal(
	    distill("hidden", "teacher", "{" STEPS ", method: hidden, teacher_logits: once}", "store"), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "teacher_logits cannot be computed once: layers are compared"));
	bag = kept;
}

/* Of images that are turned at random the teacher sees others in every epoch. */
static void logits__of_changed_images_are_computed_in_every_step(void **state)
{
	struct mlp_spec fields = {0};
	int width[] = {12};
	const struct model_spec mlp = {.family = &family_mlp,
	    .input = {.height = 8, .width = 8, .channels = 1},
	    .classes = 10,
	    .n_width = 1,
	    .width = width,
	    .own = &fields};
	struct progress progress = {.line = note};
	struct rig r;
	(void)state;
	rig_open(&r, "{source: digits, augment: {crop_padding: 1}}");
	struct rig_case c = {.name = "teacher", .options = "{epochs: 1}", .spec = &mlp, .progress = &progress};
	RIG_OK(rig_run(&r, &stage_train, &c));
	c.teacher = "teacher";
	c.folder = "student";
	str_clear(&said);
	RIG_OK(rig_run(&r, &stage_distill, &c));
	assert_true(has_said("the teacher runs in every step: data.augment changes the samples"));
	r.task.mixup = 0.2;
	r.data_options.augment.crop_padding = 0;
	str_clear(&said);
	RIG_OK(rig_run(&r, &stage_distill, &c));
	assert_true(has_said("the teacher runs in every step: task.mixup mixes the samples"));
	c.options = "{epochs: 1, teacher_logits: once}";
	assert_int_equal(rig_run(&r, &stage_distill, &c), ERR_CONFIG);
	assert_non_null(strstr(err_message(), "cannot be computed once: task.mixup mixes the samples"));
	c.options = "{epochs: 1, augment: false}";
	str_clear(&said);
	RIG_OK(rig_run(&r, &stage_distill, &c));
	assert_true(has_said("the teacher's logits: once for each of "));
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(logits__kept_computed_and_alone_give_the_same_student),
	    cmocka_unit_test(logits__of_integers_are_those_of_every_step),
	    cmocka_unit_test(logits__are_shared_by_students),
	    cmocka_unit_test(logits__of_another_teacher_or_other_samples_have_another_key),
	    cmocka_unit_test(logits__that_were_changed_are_computed_anew),
	    cmocka_unit_test(logits__that_cannot_be_kept_are_used_all_the_same),
	    cmocka_unit_test(logits__survive_an_interruption),
	    cmocka_unit_test(logits__of_layers_are_computed_in_every_step),
	    cmocka_unit_test(logits__of_changed_images_are_computed_in_every_step),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

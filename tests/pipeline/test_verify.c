/* verify of a run whose stages are not what they say: other weights under the same key are found, and where bytes
 * cannot be compared, figures that are too far away. What is equal is tests/cli/verify.sh's. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/config_text.h"
#include "pipeline/run.h"
#include "pipeline/verify.h"
#include "store/checkpoint.h"

#define TEACHER "runs/t/01-teacher"

static void no_line(struct progress *p, const char *text)
{
	(void)p;
	(void)text;
}

static void no_update(struct progress *p, const char *text, double done, double total)
{
	(void)p;
	(void)text;
	(void)done;
	(void)total;
}

static void fresh_run(void)
{
	struct run_config config;
	struct chain chain;
	struct progress quiet = {.line = no_line, .update = no_update};
	assert_int_equal(fs_remove_tree("runs"), 0);
	assert_int_equal(run_config_load(&config, "t.yaml", NULL, 0), 0);
	assert_int_equal(chain_open(&chain, &config, NULL, false), 0);
	chain.n_run = 1;
	if (run_chain(&chain, &quiet, NULL) != 0)
		fail_msg("%s", err_message());
	chain_close(&chain);
	run_config_clear(&config);
}

static int verify_into(cJSON *list, double tolerance)
{
	const struct verify_options o = {
	    .run = "runs/t", .stage = "teacher", .scratch = "scratch", .tolerance = tolerance, .list = list};
	assert_int_equal(fs_remove_tree("scratch"), 0);
	assert_int_equal(fs_mkdirs("scratch"), 0);
	return verify_run(&o, NULL);
}

static int verify(double tolerance)
{
	return verify_into(NULL, tolerance);
}

/* Writes stage.json again, with the hashes that the files have now. program: of the key, or NULL: as it was. */
static void record_again(const char *program)
{
	struct stage_record r;
	assert_int_equal(stage_record_read(&r, TEACHER), 0);
	cJSON_DeleteItemFromObject(r.json, "files");
	cJSON_DeleteItemFromObject(r.json, "sha256");
	if (program)
		cJSON_SetValuestring(cJSON_GetObjectItem(cJSON_GetObjectItem(r.json, "key_parts"), "program"), program);
	assert_int_equal(stage_record_write(TEACHER, r.json), 0);
	stage_record_clear(&r);
}

/* weight: added to the first one. share: added to the validation accuracy. */
static void change(float weight, double share)
{
	struct checkpoint c;
	assert_int_equal(checkpoint_load(&c, TEACHER), 0);
	float *w = tensor_file_find(&c.tensors, "fc1.weight")->t.data;
	*w += weight;
	cJSON *val = cJSON_GetObjectItem(cJSON_GetObjectItem(c.info, "metrics"), "validation");
	cJSON *accuracy = cJSON_GetObjectItem(val, "accuracy");
	assert_true(cJSON_IsNumber(accuracy));
	cJSON_SetNumberValue(accuracy, accuracy->valuedouble + share);
	if (checkpoint_save(&c, TEACHER) != 0)
		fail_msg("%s", err_message());
	checkpoint_clear(&c);
}

static void refuses(int code, const char *part, double tolerance)
{
	assert_int_equal(verify(tolerance), code);
	if (!strstr(err_message(), part))
		fail_msg("message '%s' does not hold '%s'", err_message(), part);
}

static void verify__a_stage_comes_out_again(void **state)
{
	(void)state;
	fresh_run();
	assert_int_equal(verify(0), 0);
}

static void verify__one_weight_of_another_value_differs(void **state)
{
	(void)state;
	fresh_run();
	change(0.001f, 0);
	record_again(NULL);
	refuses(ERR_GATE, "what was made again differs: 01-teacher", 100);
}

static void verify__a_file_that_was_changed_behind_its_record_is_damage(void **state)
{
	(void)state;
	fresh_run();
	FILE *f = fopen(TEACHER "/model.safetensors", "r+b");
	assert_non_null(f);
	assert_int_equal(fseek(f, -1, SEEK_END), 0);
	const int last = fgetc(f);
	assert_int_equal(fseek(f, -1, SEEK_END), 0);
	assert_int_equal(fputc(last ^ 1, f), last ^ 1);
	assert_int_equal(fclose(f), 0);
	refuses(ERR_CHECKPOINT, "model.safetensors: was changed since the stage was finished", 100);
}

static void verify__a_figure_that_the_weights_do_not_give_differs(void **state)
{
	(void)state;
	fresh_run();
	change(0, 0.01);
	record_again(NULL);
	refuses(ERR_GATE, "01-teacher", 100);
}

/* Of another program bytes mean nothing; a figure may be as far away as the tolerance says. */
static void verify__of_another_program_figures_decide(void **state)
{
	(void)state;
	fresh_run();
	change(0.0001f, 0.02);
	record_again("0.0.1 (another)");
	assert_int_equal(verify(2.5), 0);
	refuses(ERR_GATE, "01-teacher", 1.5);
}

/* A figure of a class, and its place; the tolerance counts as many points more as the class is smaller. */
static void verify__figures_in_lists_are_compared(void **state)
{
	struct checkpoint c;
	(void)state;
	fresh_run();
	change(0.0001f, 0);
	assert_int_equal(checkpoint_load(&c, TEACHER), 0);
	cJSON *val = cJSON_GetObjectItem(cJSON_GetObjectItem(c.info, "metrics"), "validation");
	cJSON *one = cJSON_GetArrayItem(cJSON_GetObjectItem(val, "per_class"), 3), *f1 = cJSON_GetObjectItem(one, "f1");
	const double share =
	    cJSON_GetObjectItem(one, "support")->valuedouble / cJSON_GetObjectItem(val, "samples")->valuedouble;
	assert_true(cJSON_IsNumber(f1) && share > 0.03 && share < 0.3);
	cJSON_SetNumberValue(f1, f1->valuedouble + (f1->valuedouble > 0.5 ? -0.2 : 0.2));
	assert_int_equal(checkpoint_save(&c, TEACHER), 0);
	checkpoint_clear(&c);
	record_again("0.0.1 (another)");
	assert_int_equal(verify(20 * share * 1.01), 0);
	refuses(ERR_GATE, "01-teacher", 20 * share * 0.99);
	cJSON *list = cJSON_CreateArray();
	assert_int_equal(verify_into(list, 100), 0);
	assert_string_equal(cJSON_GetObjectItem(list->child, "verdict")->valuestring, "agrees");
	assert_string_equal(cJSON_GetObjectItem(list->child, "largest_at")->valuestring, "validation.per_class[3].f1");
	assert_true(fabs(cJSON_GetObjectItem(list->child, "largest_points")->valuedouble - 20) < 1e-6);
	cJSON_Delete(list);
}

static void verify__of_other_data_nothing_is_compared(void **state)
{
	struct stage_record r;
	(void)state;
	fresh_run();
	assert_int_equal(stage_record_read(&r, TEACHER), 0);
	cJSON *part = cJSON_GetObjectItem(cJSON_GetObjectItem(r.json, "key_parts"), "data.train");
	part->valuestring[0] = part->valuestring[0] == '0' ? '1' : '0';
	cJSON_DeleteItemFromObject(r.json, "files");
	cJSON_DeleteItemFromObject(r.json, "sha256");
	assert_int_equal(stage_record_write(TEACHER, r.json), 0);
	stage_record_clear(&r);
	refuses(ERR_DATA, "stage teacher cannot be made again from what is there now", 100);
	record_again("0.0.1 (another)"); /* which is no excuse */
	refuses(ERR_DATA, "stage teacher cannot be made again from what is there now", 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(verify__a_stage_comes_out_again),
	    cmocka_unit_test(verify__one_weight_of_another_value_differs),
	    cmocka_unit_test(verify__a_file_that_was_changed_behind_its_record_is_damage),
	    cmocka_unit_test(verify__a_figure_that_the_weights_do_not_give_differs),
	    cmocka_unit_test(verify__of_another_program_figures_decide),
	    cmocka_unit_test(verify__figures_in_lists_are_compared),
	    cmocka_unit_test(verify__of_other_data_nothing_is_compared)};
	return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}

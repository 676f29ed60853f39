/* pipeline explain [BLOCK], pipeline schema: what the option tables say. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "pipeline/command.h"
#include "pipeline/config.h"

static void list_stages(void)
{
	for (const struct stage_kind *const *k = registry_stages(); *k; k++)
		printf("  %-10s stage: %s\n", (*k)->name, (*k)->help);
}

static void list_blocks(void)
{
	printf("A config holds the keys of 'config' and four blocks: data, task, models and stages.\n\n");
	printf("  %-10s %s\n", "config", "name, out, seed, threads, device");
	printf("  %-10s %s\n", "data", "the data set");
	printf("  %-10s %s\n", "task", "what is asked of the models: metrics, weights of classes, thresholds");
	printf("  %-10s %s\n", "model", "one entry of 'models'");
	printf("  %-10s %s\n", "input", "the block 'input' of a model: how texts become tokens");
	list_stages();
	printf("\n'pipeline explain BLOCK' shows its options.\n");
}

static void explain_stage(const struct stage_kind *k)
{
	printf("%s: %s\n\n", k->name, k->help);
	printf("kind: %s%s\n", k->name, " (may be left out where the stage's name is its kind)");
	if (k->needs_model)
		printf("model: name of one of 'models' (required)\n");
	for (const struct reference_key *r = reference_keys; r->key; r++) {
		const struct stage_reference *want = reference_of(k, r);
		if (want)
			printf("%s: %s%s\n", r->key, r->takes,
			    want->absent == REF_REQUIRED ? " (required)" : r->absent[want->absent]);
	}
	printf("\n");
}

static int explain_block(const char *word)
{
	const char *names[32] = {"config", "data", "task", "model", "input"};
	int n = 5;
	struct str out = {0};
	const struct stage_kind *k = registry_stage(word);
	if (k) {
		explain_stage(k);
		option_explain(k->table, &out);
	} else if (strcmp(word, "config") == 0) {
		option_explain(top_option_table, &out);
	} else if (strcmp(word, "data") == 0) {
		option_explain(data_option_table, &out);
	} else if (strcmp(word, "task") == 0) {
		option_explain(task_option_table, &out);
	} else if (strcmp(word, "input") == 0) {
		option_explain(input_option_table, &out);
	} else if (strcmp(word, "model") == 0 || strcmp(word, "models") == 0) {
		model_options_explain(&out);
	} else if (strcmp(word, "stages") == 0) {
		printf("The block 'stages' maps names to stages, in the order in which they run. The kinds:\n\n");
		list_stages();
		printf("\n'pipeline explain KIND' shows the options of one.\n");
	} else {
		for (const struct stage_kind *const *s = registry_stages(); *s; s++)
			names[n++] = (*s)->name;
		const char *near = str_nearest(word, names, n);
		return err_set(ERR_CONFIG, "explain: unknown block '%s'%s%s%s", word, near ? "; did you mean '" : "",
		    near ? near : "", near ? "'?" : "; 'pipeline explain' lists them");
	}
	fputs(str_text(&out), stdout);
	str_clear(&out);
	return 0;
}

int cmd_explain(int argc, char **argv)
{
	static const struct flag none[] = {{NULL, false, 0}};
	struct args args;
	args_init(&args, none, argc, argv);
	int rc = args_next(&args);
	if (!rc)
		rc = args_count(&args, 0, 1, "BLOCK");
	if (rc)
		return rc;
	if (args.n == 0) {
		list_blocks();
		return 0;
	}
	return explain_block(args.positional[0]);
}

int cmd_schema(int argc, char **argv)
{
	static const struct flag none[] = {{NULL, false, 0}};
	struct args args;
	args_init(&args, none, argc, argv);
	int rc = args_next(&args);
	if (!rc)
		rc = args_count(&args, 0, 0, "");
	return rc ? rc : command_print_json(run_config_schema());
}

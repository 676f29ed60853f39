/* pipeline clean STORE: removes from a store what nobody shares any more. */
#include <stdio.h>

#include "base/err.h"
#include "base/json_out.h"
#include "pipeline/command.h"
#include "pipeline/store_clean.h"

#define USUAL_DAYS 30
#define MOST_DAYS  36500

static int print_json(const struct store_cleaned *c, bool dry)
{
	bool ok;
	cJSON *json;
	struct json_out o = json_out_begin(&ok);
	json_out_text(o, "store", c->path);
	json_out_bool(o, "dry_run", dry);
	json_out_number(o, "stages", c->stages);
	json_out_number(o, "stages_removed", c->stages_gone);
	json_out_number(o, "kept_files", c->kept);
	json_out_number(o, "kept_files_removed", c->kept_gone);
	json_out_number(o, "left_over", c->left);
	json_out_number(o, "left_over_removed", c->left_gone);
	json_out_number(o, "bytes", c->bytes);
	int rc = json_out_end(o, &json);
	return rc ? rc : command_print_json(json);
}

int cmd_clean(int argc, char **argv)
{
	static const struct flag flags[] = {
	    {"days", true, 'd'}, {"dry-run", false, 'n'}, {"json", false, 'j'}, {NULL, false, 0}};
	struct store_cleaned cleaned;
	struct args args;
	long days = USUAL_DAYS;
	bool dry = false, json = false;
	int id, rc = 0;
	args_init(&args, flags, argc, argv);
	while (!rc && (id = args_next(&args)) != 0) {
		if (id < 0)
			return id;
		dry |= id == 'n';
		json |= id == 'j';
		if (id == 'd')
			rc = args_number("--days", args.value, 0, MOST_DAYS, &days);
	}
	if (!rc)
		rc = args_count(&args, 1, 1, "STORE or the folder of runs that has one");
	if (!rc)
		rc = store_clean(args.positional[0], (double)days, dry, &cleaned);
	if (rc)
		return rc;
	if (json)
		return print_json(&cleaned, dry);
	printf("%s: %s %d of %d stages, which no run folder shares, %d of %d kept files, and "
	       "%d of %d left-overs of killed runs; %.1f MB\n",
	    cleaned.path, dry ? "would remove" : "removed", cleaned.stages_gone, cleaned.stages, cleaned.kept_gone,
	    cleaned.kept, cleaned.left_gone, cleaned.left, cleaned.bytes / 1e6);
	return 0;
}

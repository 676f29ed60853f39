/* CONFIG [--out DIR] [--set PATH=VALUE]... [--json] */
#include "pipeline/run_args.h"

#include <string.h>

#include "base/err.h"
#include "pipeline/command.h"

int run_args_parse(struct run_args *a, int argc, char **argv, bool with_json)
{
	static const struct flag flags[] = {
	    {"out", true, 'o'}, {"set", true, 's'}, {"json", false, 'j'}, {NULL, false, 0}};
	struct args args;
	int id;
	memset(a, 0, sizeof(*a));
	args_init(&args, flags, argc, argv);
	while ((id = args_next(&args)) != 0) {
		if (id < 0)
			return id;
		if (id == 'o')
			a->out = args.value;
		if (id == 'j' && !with_json)
			return err_set(ERR_CONFIG, "%s: unknown option '--json'", argv[0]);
		a->json |= id == 'j';
		if (id == 's') {
			if (a->n_sets == RUN_MAX_SETS)
				return err_set(ERR_CONFIG, "%s: more than %d --set", argv[0], RUN_MAX_SETS);
			a->sets[a->n_sets++] = args.value;
		}
	}
	int rc = args_count(&args, 1, 1, "CONFIG");
	if (!rc)
		a->config = args.positional[0];
	return rc;
}

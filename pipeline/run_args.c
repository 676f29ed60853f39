/* CONFIG [--out DIR] [--set PATH=VALUE]...; run has [--until STAGE], plan [--json] [--ranks N] [--false-positives RATE]
 * [--power SHARE] besides */
#include "pipeline/run_args.h"

#include <stddef.h>

#include "base/err.h"
#include "config/number.h"
#include "pipeline/command.h"
#include "task/power.h"

static int read_share(const char *option, const char *text, double low, double high, double *out)
{
	const char *why = number_float(text, out);
	if (!why && *out >= low && *out <= high)
		return 0;
	return err_set(ERR_CONFIG, "%s must be a number in %g..%g, found '%s'", option, low, high, text);
}

static int read_ranks(const char *text, int *out)
{
	int64_t n;
	const char *why = number_int(text, &n);
	if (why || n < 1 || n > RUN_MAX_RANKS)
		return err_set(ERR_CONFIG, "--ranks must be a number from 1 to %d, found '%s'", RUN_MAX_RANKS, text);
	*out = (int)n;
	return 0;
}

static int take(struct run_args *a, const char *command, int id, const char *value)
{
	switch (id) {
	case 'o':
		a->out = value;
		return 0;
	case 'j':
		a->json = true;
		return 0;
	case 'u':
		a->until = value;
		return 0;
	case 'r':
		return read_ranks(value, &a->ranks);
	case 'f':
		return read_share("--false-positives", value, 1e-6, 0.5, &a->false_positives);
	case 'p':
		return read_share("--power", value, 0.05, 0.999, &a->power);
	default:
		if (a->n_sets == RUN_MAX_SETS)
			return err_set(ERR_CONFIG, "%s: more than %d --set", command, RUN_MAX_SETS);
		a->sets[a->n_sets++] = value;
		return 0;
	}
}

int run_args_parse(struct run_args *a, int argc, char **argv, bool of_plan)
{
	static const struct flag of_run[] = {
	    {"out", true, 'o'}, {"set", true, 's'}, {"until", true, 'u'}, {NULL, false, 0}};
	static const struct flag with_plan[] = {{"out", true, 'o'}, {"set", true, 's'}, {"json", false, 'j'},
	    {"ranks", true, 'r'}, {"false-positives", true, 'f'}, {"power", true, 'p'}, {NULL, false, 0}};
	struct args args;
	int id, rc = 0;
	*a = (struct run_args){.ranks = 1, .false_positives = POWER_FALSE_POSITIVES, .power = POWER_WANTED};
	args_init(&args, of_plan ? with_plan : of_run, argc, argv);
	while (!rc && (id = args_next(&args)) != 0)
		rc = id < 0 ? id : take(a, argv[0], id, args.value);
	if (!rc)
		rc = args_count(&args, 1, 1, "CONFIG");
	if (!rc)
		a->config = args.positional[0];
	return rc;
}

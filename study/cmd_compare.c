/* pipeline compare RUN_OR_SWEEP...: the models of runs side by side, over seeds and folds, tested against a baseline.
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "pipeline/command.h"
#include "study/compare_out.h"
#include "study/other_data.h"

struct request {
	const char *baseline, *metric;
	int format;
};

static int read_format(const char *text, int *out)
{
	for (int f = 0; f < COMPARE_FORMATS; f++)
		if (!strcmp(text, compare_format_names[f])) {
			*out = f;
			return 0;
		}
	return err_set(ERR_CONFIG, "compare: --format must be text, md, csv, latex or json, found '%s'", text);
}

/* Words go with tables that people read; marks go where they are seen in any case. */
static int print(const struct compare *c, int format)
{
	struct str out = {0}, words = {0}, marks = {0};
	int rc = compare_write(c, (enum compare_format)format, &out);
	if (!rc && (format == COMPARE_EYE || format == COMPARE_MD)) {
		compare_explain(c, &words);
		compare_marks(c, &marks);
	} else if (!rc && format != COMPARE_JSON) {
		compare_marks(c, &marks);
		other_data_words(c, &marks);
	}
	if (!rc && (out.failed || words.failed || marks.failed))
		rc = err_set(ERR_NOMEM, "out of memory");
	if (!rc) {
		fputs(str_text(&out), stdout);
		if (words.len)
			printf("\n%s", str_text(&words));
		fflush(stdout);
		fputs(str_text(&marks), stderr);
	}
	str_clear(&out);
	str_clear(&words);
	str_clear(&marks);
	return rc;
}

static int run(const struct request *r, char *const *path, int n)
{
	struct study study;
	struct compare c = {0};
	int rc = study_collect(&study, path, n);
	if (!rc)
		rc = compare_make(&c, &study, r->metric, r->baseline);
	if (!rc)
		rc = print(&c, r->format);
	if (!rc)
		rc = compare_check_results(&c);
	compare_clear(&c);
	study_clear(&study);
	return rc;
}

int cmd_compare(int argc, char **argv)
{
	static const struct flag flags[] = {
	    {"baseline", true, 'b'}, {"metric", true, 'm'}, {"format", true, 'f'}, {NULL, false, 0}};
	struct request r = {.format = COMPARE_EYE};
	struct args args;
	int id, rc = 0;
	args_init(&args, flags, argc, argv);
	while (!rc && (id = args_next(&args)) != 0) {
		if (id < 0)
			return id;
		r.baseline = id == 'b' ? args.value : r.baseline;
		r.metric = id == 'm' ? args.value : r.metric;
		if (id == 'f')
			rc = read_format(args.value, &r.format);
	}
	if (!rc)
		rc = args_count(&args, 1, -1, "RUN_OR_SWEEP");
	return rc ? rc : run(&r, args.positional, args.n);
}

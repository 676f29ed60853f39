/* pipeline report RUN_OR_SWEEP... --out DIR: files, figures and a page. pipeline report --check FILE.md: whether the
 * numbers of a text are still those of the runs. */
#include <stdio.h>

#include "base/err.h"
#include "pipeline/command.h"
#include "study/check.h"
#include "study/compare_out.h"
#include "study/other_data.h"
#include "study/report.h"

struct request {
	const char *out, *baseline, *metric, *check;
};

static void say(const struct report *r, const struct compare *c)
{
	struct str marks = {0};
	compare_marks(c, &marks);
	other_data_words(c, &marks);
	printf("%s: %d files, %d figures; %s/report.html\n", r->out, r->files, r->n_figure, r->out);
	fflush(stdout);
	fputs(str_text(&marks), stderr);
	fputs(str_text(&r->notes), stderr);
	str_clear(&marks);
}

static int make(const struct request *q, char *const *path, int n)
{
	struct study study;
	struct compare c = {0};
	struct report r = {0};
	int rc = study_collect(&study, path, n);
	if (!rc)
		rc = compare_make(&c, &study, q->metric, q->baseline);
	if (!rc)
		rc = report_make(&r, &c, q->out);
	if (!rc)
		say(&r, &c);
	if (!rc)
		rc = compare_check_results(&c);
	report_clear(&r);
	compare_clear(&c);
	study_clear(&study);
	return rc;
}

static int check(const struct request *q, int n)
{
	struct check_result found;
	if (n || q->out || q->baseline || q->metric)
		return err_set(ERR_CONFIG, "report: --check takes a file and nothing else");
	int rc = check_file(q->check, &found);
	if (!rc)
		printf("%s: %d numbers, of %d tables and %d in sentences, are those of their files\n", q->check,
		    found.numbers, found.blocks, found.sentences);
	return rc;
}

int cmd_report(int argc, char **argv)
{
	static const struct flag flags[] = {
	    {"out", true, 'o'}, {"baseline", true, 'b'}, {"metric", true, 'm'}, {"check", true, 'c'}, {NULL, false, 0}};
	struct request q = {0};
	struct args args;
	int id;
	args_init(&args, flags, argc, argv);
	while ((id = args_next(&args)) != 0) {
		if (id < 0)
			return id;
		q.out = id == 'o' ? args.value : q.out;
		q.baseline = id == 'b' ? args.value : q.baseline;
		q.metric = id == 'm' ? args.value : q.metric;
		q.check = id == 'c' ? args.value : q.check;
	}
	if (q.check)
		return check(&q, args.n);
	int rc = args_count(&args, 1, -1, "RUN_OR_SWEEP");
	if (!rc && !q.out)
		rc = err_set(ERR_CONFIG, "report: --out DIR is missing; see 'pipeline report --help'");
	return rc ? rc : make(&q, args.positional, args.n);
}

/* pipeline predict: what a model says of images or texts, given one by one or taken from its own data set. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "pipeline/command.h"
#include "pipeline/model_data.h"
#include "pipeline/predict_inputs.h"

#define BATCH     32 /* of samples that are all there at once; those of a pipe are answered one by one */
#define MAX_TEXTS 64

struct prediction {
	const char *dir, *split, *rows, *config, *column, *pair_column;
	const char *text[MAX_TEXTS], *pair[MAX_TEXTS], *file[MAX_TEXTS]; /* pair[i] goes with text[i] */
	int n_text, n_pair, n_file;
	char **input;
	int n_input;
	long threads, top;
	bool json;
};

/* ---- samples of the checkpoint's data set ---- */

static int unknown_split(const char *word)
{
	const char *near = str_nearest(word, split_names, SPLIT_COUNT);
	return err_set(ERR_CONFIG, "--split must be train, validation or test, found '%s'%s%s%s", word,
	    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int find_split(const char *word, enum split *out)
{
	for (int s = 0; s < SPLIT_COUNT; s++) {
		*out = (enum split)s;
		if (!strcmp(split_names[s], word))
			return 0;
	}
	return unknown_split(word);
}

static int find_rows(const char *rows, int64_t n, int64_t *first, int64_t *last)
{
	long long low = 0, high = n - 1;
	char rest;
	int fields = rows ? sscanf(rows, "%lld-%lld%c", &low, &high, &rest) : 2;
	if (fields == 1 && !strchr(rows, '-'))
		high = low, fields = 2;
	*first = low;
	*last = high;
	if (fields == 2 && low >= 0 && high >= low && high < n)
		return 0;
	return err_set(ERR_CONFIG, "--rows must be FIRST-LAST within 0-%lld, found '%s'", (long long)n - 1, rows);
}

static int predict_rows(struct predictor *p, const struct prediction *o)
{
	struct dataset d = {0};
	enum split split;
	int64_t first, last;
	int rc = find_split(o->split, &split);
	if (rc)
		return rc;
	rc = model_data_open(&d, &p->model.ckpt, o->config, split == SPLIT_TEST);
	if (!rc)
		rc = model_check_data(&p->model.ckpt, &d, o->dir);
	if (!rc && d.n[split] < 1)
		rc = err_set(ERR_DATA, "the data set has no %s split", o->split);
	if (!rc)
		rc = find_rows(o->rows, d.n[split], &first, &last);
	if (!rc)
		rc = predictor_split(p, &d, split, first, last);
	dataset_close(&d);
	return rc;
}

/* ---- samples from outside ---- */

/* Before anything is answered: what the model takes is known only from its checkpoint. */
static int check_inputs(const struct predictor *p, const struct prediction *o)
{
	if (!p->model.ckpt.adapter.kind->read)
		return err_set(ERR_CONFIG, "predict: samples of %s are of --split only", o->dir);
	if (predictor_takes_images(p) && (o->n_text || o->n_file))
		return err_set(ERR_CONFIG, "predict: %s takes images; --text and --file are of texts", o->dir);
	if (predictor_takes_pairs(p) && o->n_pair < o->n_text)
		return err_set(
		    ERR_CONFIG, "predict: %s takes pairs of texts; --pair gives the second one of each --text", o->dir);
	if (!predictor_takes_pairs(p) && (o->n_pair || o->pair_column))
		return err_set(
		    ERR_CONFIG, "predict: %s takes single texts; --pair and --pair-column are of pairs", o->dir);
	if (!o->n_text && !o->n_file && !o->n_input && predictor_takes_images(p) && isatty(STDIN_FILENO) == 1)
		return err_set(ERR_CONFIG, "predict: FILE is missing; see 'pipeline predict --help'");
	return 0;
}

static int predict_argument(struct predictor *p, const char *argument)
{
	if (predictor_takes_images(p))
		return predict_images(p, argument);
	if (!strcmp(argument, "-"))
		return predict_standard_input(p);
	if (predictor_takes_pairs(p))
		return err_set(ERR_CONFIG,
		    "predict: the model takes pairs of texts, '%.80s' is one; --text A --pair B gives two, --file and "
		    "standard input take lines of two texts with a tab between them",
		    argument);
	if (fs_exists(argument))
		fprintf(stderr, "'%s' is taken as a text, although there is a file of that name; --file reads it\n",
		    argument);
	return predictor_text(p, "a text", argument, strlen(argument));
}

/* The texts of --text and --pair number i. */
static int predict_given(struct predictor *p, const struct prediction *o, int i)
{
	if (!predictor_takes_pairs(p))
		return predictor_text(p, "--text", o->text[i], strlen(o->text[i]));
	const size_t n = strlen(o->text[i]), m = strlen(o->pair[i]);
	char *both = mem_alloc(n + 1 + m, 1);
	if (!both)
		return ERR_NOMEM;
	memcpy(both, o->text[i], n);
	memcpy(both + n + 1, o->pair[i], m);
	int rc = predictor_text(p, "--text and --pair", both, n + 1 + m);
	mem_free(both);
	return rc;
}

static int predict_all(struct predictor *p, const struct prediction *o)
{
	int rc = check_inputs(p, o);
	for (int i = 0; !rc && i < o->n_text; i++)
		rc = predict_given(p, o, i);
	for (int i = 0; !rc && i < o->n_file; i++)
		rc = predict_text_file(p, o->file[i], o->column, o->pair_column);
	for (int i = 0; !rc && i < o->n_input; i++)
		rc = predict_argument(p, o->input[i]);
	if (!rc && !o->n_text && !o->n_file && !o->n_input)
		rc = predict_standard_input(p);
	return rc ? rc : predictor_finish(p);
}

/* ---- the command ---- */

static bool reads_standard_input(const struct prediction *o)
{
	for (int i = 0; i < o->n_input; i++)
		if (!strcmp(o->input[i], "-"))
			return true;
	return !o->n_input && !o->n_text && !o->n_file && !o->split;
}

static int predict(const struct prediction *o)
{
	struct predictor p;
	int given = o->n_input + o->n_text + o->n_file;
	bool lines = reads_standard_input(o), many = o->split || o->n_file || given >= BATCH;
	for (int i = 0; i < o->n_input; i++)
		many = many || fs_is_dir(o->input[i]);
	const struct predictor_options options = {.threads = (int)o->threads,
	    .batch = many && !lines ? BATCH : 1,
	    .json = o->json,
	    .list = o->json && !lines,
	    .top = o->top ? (int)o->top : 1,
	    .nameless = lines && isatty(STDIN_FILENO) == 1,
	    .alone = given == 1 && !lines};
	int rc = predictor_open(&p, o->dir, &options);
	if (lines) /* a model that is broken waits for none of them */
		rc = model_prove(&p.model, rc);
	if (!rc && o->top && p.model.ckpt.task.kind->target == TARGET_SET)
		rc = err_set(
		    ERR_CONFIG, "predict: --top is of one class; %s gives the probabilities of all its labels", o->dir);
	if (!rc)
		rc = o->split ? predict_rows(&p, o) : predict_all(&p, o);
	rc = model_prove(&p.model, rc);
	predictor_close(&p);
	return rc;
}

static int check_options(const struct args *args, const struct prediction *o)
{
	int rc = args_count(args, 1, o->split ? 1 : -1, "CHECKPOINT");
	if (rc)
		return rc;
	if (!o->split && (o->rows || o->config))
		return err_set(ERR_CONFIG, "predict: --rows and --config need --split");
	if (o->split && (o->n_text || o->n_file))
		return err_set(ERR_CONFIG, "predict: --split takes the place of --text and --file");
	if (o->json && o->top)
		return err_set(
		    ERR_CONFIG, "predict: --json gives the probabilities of all classes; --top is for lines");
	if ((o->column || o->pair_column) && !o->n_file)
		return err_set(ERR_CONFIG, "predict: --%s needs --file", o->column ? "column" : "pair-column");
	return 0;
}

static int read_option(struct prediction *o, int id, const char *value)
{
	switch (id) {
	case 'P':
		/* In front of its --text it would go with another one. */
		if (o->n_pair + 1 != o->n_text)
			return err_set(ERR_CONFIG, "predict: each --pair follows the --text whose second text it is");
		o->pair[o->n_pair++] = value;
		return 0;
	case 'T':
	case 'f':
		if ((id == 'T' ? o->n_text : o->n_file) == MAX_TEXTS)
			return err_set(ERR_CONFIG,
			    "predict: --%s may be given %d times; more go through standard input",
			    id == 'T' ? "text" : "file", MAX_TEXTS);
		if (id == 'T')
			o->text[o->n_text++] = value;
		else
			o->file[o->n_file++] = value;
		return 0;
	case 't':
		return args_number("--threads", value, 0, 1024, &o->threads);
	case 'k':
		return args_number("--top", value, 1, 65536, &o->top);
	default:
		o->split = id == 's' ? value : o->split;
		o->rows = id == 'r' ? value : o->rows;
		o->config = id == 'c' ? value : o->config;
		o->column = id == 'C' ? value : o->column;
		o->pair_column = id == 'S' ? value : o->pair_column;
		o->json |= id == 'j';
		return 0;
	}
}

int cmd_predict(int argc, char **argv)
{
	static const struct flag flags[] = {{"text", true, 'T'}, {"pair", true, 'P'}, {"file", true, 'f'},
	    {"column", true, 'C'}, {"pair-column", true, 'S'}, {"split", true, 's'}, {"rows", true, 'r'},
	    {"config", true, 'c'}, {"top", true, 'k'}, {"threads", true, 't'}, {"json", false, 'j'}, {NULL, false, 0}};
	/* One sample at a time: waking a second thread costs more than it computes, and most of a short start. */
	struct prediction o = {.threads = 1};
	struct args args;
	int id, rc = 0;
	args_init(&args, flags, argc, argv);
	while ((id = args_next(&args)) != 0) {
		if (id < 0)
			return id;
		rc = read_option(&o, id, args.value);
		if (rc)
			return rc;
	}
	rc = check_options(&args, &o);
	if (rc)
		return rc;
	o.dir = args.positional[0];
	o.input = args.positional + 1;
	o.n_input = args.n - 1;
	return predict(&o);
}

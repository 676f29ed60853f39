#include "pipeline/given_data.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "pipeline/data_words.h"
#include "pipeline/model_data.h"
#include "text/escape.h"

#define LISTED_MAX 20 /* class names in a message */

static bool is_config(const char *path)
{
	return fs_ends_in(path, ".yaml") || fs_ends_in(path, ".yml");
}

/* ---- options of the data set ---- */

static int find_source(const char *path, int *source)
{
	static const struct {
		const char *suffix;
		enum data_source source;
	} sources[] = {{".csv", SOURCE_CSV}, {".tsv", SOURCE_CSV}, {".tab", SOURCE_CSV}, {".jsonl", SOURCE_JSONL},
	    {".txt", SOURCE_PHRASEBANK}};
	*source = SOURCE_IMAGES;
	if (fs_is_dir(path))
		return 0;
	if (!fs_exists(path))
		return err_set(ERR_DATA, "%s: no such file or folder", path);
	if (access(path, F_OK) != 0)
		return err_set(ERR_DATA, "%s: %s", path, strerror(errno));
	if (dataset_is_archive(path))
		return 0;
	for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
		*source = sources[i].source;
		if (fs_ends_in(path, sources[i].suffix))
			return 0;
	}
	return err_set(ERR_DATA,
	    "%s: --data takes a folder of class folders, a .tar or .zip archive of them, a .csv, .tsv, .jsonl or .txt "
	    "file, or a .yaml config, which may name any source",
	    path);
}

static int add_string(struct option_strings *list, const char *text, size_t n)
{
	char **v = mem_grow(list->v, (size_t)list->n, (size_t)list->n + 1, sizeof(*v));
	if (!v)
		return ERR_NOMEM;
	list->v = v;
	v[list->n] = mem_printf("%.*s", (int)n, text);
	return v[list->n++] ? 0 : ERR_NOMEM;
}

static int split_labels(struct option_strings *list, const char *labels)
{
	int rc = 0;
	for (const char *at = labels; !rc && at;) {
		const char *comma = strchr(at, ',');
		size_t n = comma ? (size_t)(comma - at) : strlen(at);
		if (!n)
			return err_set(
			    ERR_CONFIG, "--labels must be names of columns divided by commas, found '%s'", labels);
		rc = add_string(list, at, n);
		at = comma ? comma + 1 : NULL;
	}
	return rc;
}

/* Without --labels and --label, a table for a model of labels has a column for each of them. */
static int all_labels(struct option_strings *list, const struct task *t)
{
	int rc = 0;
	for (int c = 0; !rc && c < t->classes; c++)
		rc = add_string(list, t->class_name[c], strlen(t->class_name[c]));
	return rc;
}

static int copy_text(char **out, const char *text)
{
	*out = text ? mem_strdup(text) : NULL;
	return *out || !text ? 0 : ERR_NOMEM;
}

/* o is to be cleared in any case. */
static int make_options(struct data_options *o, const struct given_data *g, const struct checkpoint *c)
{
	const char *key;
	*o = (struct data_options){.fraction = 1};
	int rc = find_source(g->path, &o->source);
	bool table = o->source == SOURCE_CSV || o->source == SOURCE_JSONL;
	if (!rc && !table && (g->text_column || g->pair_column || g->label || g->labels))
		rc = err_set(ERR_CONFIG,
		    "%s: --text-column, --pair-column, --label and --labels are of .csv, .tsv and .jsonl files",
		    g->path);
	if (!rc && g->pair_column && !c->adapter.spec.pairs)
		rc = err_set(ERR_CONFIG, "--pair-column has no effect: the model takes no pairs of texts");
	o->pairs = c->adapter.spec.pairs ? PAIRS_ALWAYS : PAIRS_NEVER;
	if (!rc && g->skip_bad && o->source != SOURCE_IMAGES)
		rc = err_set(ERR_CONFIG, "%s: --skip-bad is of images", g->path);
	o->skip_bad = g->skip_bad;
	if (!rc)
		rc = copy_text(&o->path, g->path);
	if (!rc)
		rc = copy_text(&o->text_column, g->text_column);
	if (!rc)
		rc = copy_text(&o->text_pair, g->pair_column);
	if (!rc)
		rc = copy_text(&o->label, g->label);
	if (!rc && g->labels)
		rc = split_labels(&o->labels, g->labels);
	else if (!rc && o->source == SOURCE_CSV && !g->label && c->task.kind->target == TARGET_SET)
		rc = all_labels(&o->labels, &c->task);
	if (!rc)
		rc = model_data_resize(o, c);
	return rc ? rc : data_options_check(o, &key);
}

/* ---- classes ---- */

static int check_target(const struct dataset *d, const struct task *t, const char *path)
{
	if (d->target == t->kind->target)
		return 0;
	if (d->target == TARGET_SET)
		return err_set(
		    ERR_DATA, "%s: a sample has any of several labels, the model answers with one class", path);
	return err_set(ERR_DATA, "%s: a sample has one class, the model answers with any of several labels%s", path,
	    d->kind == SAMPLE_TEXT ? "; --labels names their columns" : "");
}

/* Where labels are columns, one that is not there says nothing: its samples do not lack the label. */
static int check_columns(const struct dataset *d, const struct task *t, const struct data_options *o)
{
	for (int c = 0; o->labels.n && c < t->classes; c++) {
		bool there = false;
		for (int i = 0; i < d->classes; i++)
			there = there || !strcmp(d->class_name[i], t->class_name[c]);
		if (!there)
			return err_set(ERR_DATA,
			    "%s: the model knows the label '%s', for which --labels names no column", o->path,
			    t->class_name[c]);
	}
	return 0;
}

static void list_name(struct str *out, int *listed, const char *name)
{
	if (*listed < LISTED_MAX) {
		str_add(out, *listed ? ", " : "");
		escape_add(out, name, strlen(name));
	}
	++*listed;
}

static void say_absent(const struct dataset *d, const char *path)
{
	struct str names = {0};
	int n = 0;
	for (int c = 0; c < d->classes; c++)
		if (!dataset_support(d, SPLIT_TEST, c))
			list_name(&names, &n, d->class_name[c]);
	if (n)
		fprintf(stderr, "%s has no sample of %d of the model's %d classes: %s%s\n", path, n, d->classes,
		    str_text(&names), n > LISTED_MAX ? ", ..." : "");
	str_clear(&names);
}

static void say_positions(const struct dataset *d, const char *path, int first)
{
	struct str names = {0};
	for (int c = 0; c < d->classes && c < LISTED_MAX; c++) {
		str_addf(&names, "%s%d = ", c ? ", " : "", first + c);
		escape_add(&names, d->class_name[c], strlen(d->class_name[c]));
	}
	fprintf(stderr, "the labels of %s are taken as positions of the model's classes: %s%s\n", path,
	    str_text(&names), d->classes > LISTED_MAX ? ", ..." : "");
	str_clear(&names);
}

static int take_classes(struct dataset *d, const struct checkpoint *c, const char *path)
{
	int first;
	int rc = check_target(d, &c->task, path);
	if (!rc)
		rc = adapter_check_data(&c->adapter, d, "the model");
	if (!rc)
		rc = dataset_take_classes(d, c->task.class_name, c->task.classes, &first);
	if (rc)
		return rc;
	if (first >= 0)
		say_positions(d, path, first);
	say_absent(d, path);
	return 0;
}

/* ---- opening ---- */

static int open_config(struct dataset *out, const struct given_data *g, const struct checkpoint *c)
{
	if (g->text_column || g->pair_column || g->label || g->labels)
		return err_set(ERR_CONFIG, "%s: a config names its columns itself", g->path);
	if (g->skip_bad)
		return err_set(ERR_CONFIG, "%s: --skip-bad is data.skip_bad in a config", g->path);
	return model_data_open(out, c, g->path, true);
}

/* What a person would otherwise learn from a far stranger message. */
static int check_kind(const struct data_options *o, const struct checkpoint *c)
{
	char takes[160];
	enum sample_kind kind = o->source == SOURCE_IMAGES ? SAMPLE_IMAGE : SAMPLE_TEXT;
	c->adapter.kind->describe(&c->adapter, takes);
	if (c->adapter.kind->takes == kind)
		return 0;
	return err_set(ERR_DATA, "%s: the model takes %s, this is a %s", o->path, takes,
	    kind == SAMPLE_IMAGE ? "folder or archive, from which images are taken" : "file of texts");
}

static int open_samples(struct dataset *out, const struct given_data *g, const struct checkpoint *c)
{
	struct data_options o;
	int rc = make_options(&o, g, c);
	if (!rc)
		rc = check_kind(&o, c);
	if (!rc)
		rc = dataset_open_all(out, &o, NULL);
	if (!rc)
		rc = check_target(out, &c->task, g->path);
	if (!rc)
		rc = check_columns(out, &c->task, &o);
	option_clear(data_option_table, &o);
	return rc;
}

int given_data_open(struct dataset *out, const struct given_data *g, const struct checkpoint *c)
{
	*out = (struct dataset){0};
	int rc = is_config(g->path) ? open_config(out, g, c) : open_samples(out, g, c);
	if (!rc)
		rc = take_classes(out, c, g->path);
	if (!rc)
		data_words_print(out, stderr);
	if (rc)
		dataset_close(out);
	return rc;
}

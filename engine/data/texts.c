/* The sources of texts: which files, their rows, their labels. Every file is read whenever the data set is opened, the
 * test file too, so that a bad row is found before anything is trained; of the test split nothing but the count is
 * handed out unless it is asked for. */
#include "data/texts.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

struct texts_state {
	struct text_file file[SPLIT_COUNT]; /* the first is the one for training */
	int n_file;
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool given(const char *name)
{
	return name && *name != '\0';
}

/* A folder was named where a file is needed. */
static int name_a_file(const char *folder)
{
	struct fs_list list;
	struct str names = {0};
	int rc = source_error(fs_list(folder, &list));

	if (rc != 0)
		return rc;
	text_list_names(&names, (const char *const *)list.name, list.n);
	rc = err_set(
	    ERR_DATA, "%s: is a folder; data.train names the file in it; there are: %s", folder, str_text(&names));
	str_clear(&names);
	fs_list_clear(&list);
	return rc;
}

/* Finds the file of one split in `path`; "" if there is none. */
static int find_file(const struct source_args *a, const char *name, bool train, char path[1024])
{
	const struct data_options *o = a->o;
	int rc;

	path[0] = '\0';
	if (!given(name) && !train)
		return 0;
	if (!given(name) && !given(o->path))
		return err_set(ERR_CONFIG, "data.path must name the file, or its folder and data.train the file");
	rc = given(name) ? source_path(path, 1024, a->base_dir, o->path, name)
			 : source_path(path, 1024, a->base_dir, NULL, o->path);
	if (!rc && fs_is_dir(path))
		return name_a_file(path);
	return rc;
}

/* Of the rows of a file that is for split s: those of the file for training are divided with the other splits. */
static int split_of_rows(int s)
{
	return s == SPLIT_TRAIN ? SPLIT_NONE : s;
}

/* The split that a file is for by its name; SPLIT_NONE: none, or it is no file of this source. */
static int split_of_file(const char *name, int source)
{
	static const char *const suffix[SOURCE_COUNT][4] = {
	    [SOURCE_CSV] = {".csv", ".tsv", ".tab"}, [SOURCE_JSONL] = {".jsonl"}, [SOURCE_PHRASEBANK] = {".txt"}};
	const char *dot = strrchr(name, '.');

	for (int i = 0; dot && i < 4 && suffix[source][i]; i++)
		if (strcasecmp(dot, suffix[source][i]) == 0)
			return split_of_word(name, (size_t)(dot - name));
	return SPLIT_NONE;
}

static int take_by_name(char path[SPLIT_COUNT][1024], const char *folder, const struct fs_list *list, int source)
{
	int rc = 0;

	for (int i = 0; i < list->n && !rc; i++) {
		int s = split_of_file(list->name[i], source);

		if (s == SPLIT_NONE)
			continue;
		if (path[s][0])
			return err_set(ERR_DATA, "%s: %s and %s may both be for data.%s; name one by it", folder,
			    base_name(path[s]), list->name[i],
			    s == SPLIT_TRAIN ? "train"
			    : s == SPLIT_VAL ? "val"
					     : "test");
		rc = fs_join(path[s], sizeof(path[s]), folder, list->name[i]);
	}
	return rc;
}

/* Files of a folder that are called like splits, where no option names any. Without one for training there are none. */
static int find_by_name(struct texts_state *st, const struct source_args *a, struct listing *l)
{
	char folder[1024], path[SPLIT_COUNT][1024] = {{0}};
	struct fs_list list = {0};
	struct str text = {0};
	int rc;

	/* What is not there is said by whoever looks for the file. */
	if (source_path(folder, sizeof(folder), a->base_dir, NULL, a->o->path) != 0 || !fs_is_dir(folder))
		return 0;
	rc = source_error(fs_list(folder, &list));
	if (!rc)
		rc = take_by_name(path, folder, &list, a->o->source);
	fs_list_clear(&list);
	for (int s = 0; s < SPLIT_COUNT && !rc && path[SPLIT_TRAIN][0]; s++) {
		struct text_file *f = &st->file[st->n_file];

		if (!path[s][0])
			continue;
		snprintf(f->path, sizeof(f->path), "%s", path[s]);
		f->split = split_of_rows(s);
		str_addf(&text, "%s%.80s", st->n_file++ ? ", " : "", base_name(path[s]));
	}
	if (!rc && st->n_file > 0)
		rc = note_found(&l->notes, "files of splits (%s)", str_text(&text));
	str_clear(&text);
	return rc;
}

static int find_files(struct texts_state *st, const struct source_args *a, struct listing *l)
{
	const char *const name[SPLIT_COUNT] = {a->o->train, a->o->val, a->o->test};

	if (given(a->o->train) && given(a->o->path)) {
		char path[1024];

		if (source_path(path, sizeof(path), a->base_dir, NULL, a->o->path) == 0 && !fs_is_dir(path))
			return err_set(ERR_CONFIG,
			    "data.path is a file, and data.train names another; path must then be their folder");
	}
	if (!given(a->o->train) && !given(a->o->val) && !given(a->o->test) && given(a->o->path) && !a->only_test) {
		int rc = find_by_name(st, a, l);

		if (rc != 0 || st->n_file > 0)
			return rc;
	}
	for (int s = 0; s < SPLIT_COUNT; s++) {
		struct text_file *f = &st->file[st->n_file];
		int rc = find_file(a, name[s], s == SPLIT_TRAIN, f->path);

		if (rc != 0)
			return rc;
		for (int i = 0; i < st->n_file; i++)
			if (strcmp(st->file[i].path, f->path) == 0)
				return err_set(ERR_CONFIG, "%s: is named for two splits", f->path);
		f->split = split_of_rows(s);
		st->n_file += f->path[0] != '\0';
	}
	return 0;
}

static int read_file(struct text_file *f, const struct data_options *o)
{
	int rc = o->source == SOURCE_CSV     ? texts_read_csv(f, o)
		 : o->source == SOURCE_JSONL ? texts_read_jsonl(f, o)
					     : texts_read_phrasebank(f, o);

	return !rc && f->n == 0 ? err_set(ERR_DATA, "%s: no rows", f->path) : rc;
}

static int texts_list(struct listing *l, const struct source_args *a)
{
	struct texts_state *st = mem_alloc(1, sizeof(*st));
	int rc;

	l->state = st;
	if (!st)
		return ERR_NOMEM;
	l->kind = SAMPLE_TEXT;
	rc = find_files(st, a, l);
	if (!rc && st->n_file > 1 && (a->o->fold_column || a->o->split_column))
		rc = err_set(ERR_CONFIG, "data.%s has no effect: files are named for the splits",
		    a->o->fold_column ? "fold_column" : "split_column");
	for (int i = 0; i < st->n_file && !rc; i++) {
		struct text_file *f = &st->file[i];

		f->notes = st->n_file == 1 && !a->only_test ? &l->notes : NULL;
		rc = read_file(f, a->o);
		if (!rc && f->pairs != st->file[0].pairs)
			rc = err_set(ERR_DATA,
			    "%s: %s, and of pairs in %s; data.text and data.text_pair name the columns",
			    f->pairs ? st->file[0].path : f->path, "samples are of single texts here",
			    f->pairs ? f->path : st->file[0].path);
		if (!rc && f->found[0])
			rc = note_found(&l->notes, "%s (%s)", base_name(f->path), f->found);
	}
	l->pairs = st->file[0].pairs;
	return !rc ? texts_label(l, st->file, st->n_file, a->o) : rc;
}

static void texts_release(struct listing *l)
{
	struct texts_state *st = l->state;

	for (int i = 0; st && i < SPLIT_COUNT; i++)
		text_file_clear(&st->file[i]);
	mem_free(st);
	l->state = NULL;
}

const struct source source_texts = {texts_list, NULL, texts_release};

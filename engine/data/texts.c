/* The sources of texts: which files, their rows, their labels. Every file is read whenever the data set is opened, the
 * test file too, so that a bad row is found before anything is trained; of the test split nothing but the count is
 * handed out unless it is asked for. */
#include "data/texts.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

struct texts_state {
	struct text_file file[SPLIT_COUNT]; /* the first is the one for training */
	int n_file;
};

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

static int find_files(struct texts_state *st, const struct source_args *a)
{
	const char *const name[SPLIT_COUNT] = {a->o->train, a->o->val, a->o->test};

	if (given(a->o->train) && given(a->o->path)) {
		char path[1024];

		if (source_path(path, sizeof(path), a->base_dir, NULL, a->o->path) == 0 && !fs_is_dir(path))
			return err_set(ERR_CONFIG,
			    "data.path is a file, and data.train names another; path must then be their folder");
	}
	for (int s = 0; s < SPLIT_COUNT; s++) {
		struct text_file *f = &st->file[st->n_file];
		int rc = find_file(a, name[s], s == SPLIT_TRAIN, f->path);

		if (rc != 0)
			return rc;
		for (int i = 0; i < st->n_file; i++)
			if (strcmp(st->file[i].path, f->path) == 0)
				return err_set(ERR_CONFIG, "%s: is named for two splits", f->path);
		f->split = s == SPLIT_TRAIN ? SPLIT_NONE : s;
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
	rc = find_files(st, a);
	for (int i = 0; i < st->n_file && !rc; i++)
		rc = read_file(&st->file[i], a->o);
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

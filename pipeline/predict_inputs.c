#include "pipeline/predict_inputs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "data/text_column.h"

#define STANDARD_INPUT "standard input"
#define LINE_BYTES     (1 << 20)

/* ---- images ---- */

static int predict_folder(struct predictor *p, const char *folder)
{
	struct fs_list list = {0};
	int others = 0, images = 0, rc = fs_list(folder, &list);
	if (rc)
		return predictor_failed(p, folder, rc);
	for (int i = 0; !rc && i < list.n; i++) {
		char path[1024];
		rc = fs_join(path, sizeof(path), folder, list.name[i]);
		if (!rc && (!image_has_suffix(list.name[i]) || fs_is_dir(path))) {
			others++;
			continue;
		}
		images++;
		p->o.alone = false;
		if (!rc)
			rc = predictor_file(p, path);
	}
	if (!rc && others)
		fprintf(stderr, "%s: %d of %d entries are no .jpg, .jpeg or .png files and were passed over\n", folder,
		    others, list.n);
	fs_list_clear(&list);
	if (!rc && !images) {
		err_set(ERR_DATA, "%s: holds no .jpg, .jpeg or .png file", folder);
		rc = predictor_failed(p, folder, ERR_DATA);
	}
	return rc;
}

int predict_images(struct predictor *p, const char *path)
{
	if (!strcmp(path, "-"))
		return predict_standard_input(p);
	return fs_is_dir(path) ? predict_folder(p, path) : predictor_file(p, path);
}

/* ---- lines ---- */

struct lines {
	FILE *f;
	const char *name;
	bool asks; /* a person types them */
	char *line;
	size_t room, bytes;
	int64_t number; /* from 1 */
};

/* Reads up to the end of the line, which is left out; getline would take whatever comes. */
static int read_line(struct lines *l, size_t *n, bool *more)
{
	int c;
	errno = 0;
	while ((c = getc_unlocked(l->f)) != EOF && c != '\n') {
		if (*n == LINE_BYTES)
			return err_set(ERR_DATA, "%s:%" PRId64 ": a line of more than %d bytes", l->name, l->number + 1,
			    LINE_BYTES);
		if (*n + 1 >= l->room) {
			size_t room = l->room ? 2 * l->room : 256;
			char *grown = mem_grow(l->line, l->room, room, 1);
			if (!grown)
				return ERR_NOMEM;
			l->line = grown;
			l->room = room;
		}
		l->line[(*n)++] = (char)c;
	}
	*more = c == '\n' || (feof(l->f) && *n > 0);
	if (c == EOF && !feof(l->f))
		return err_set(ERR_DATA, "%s: %s", l->name, strerror(errno));
	if (*more && !l->line && !(l->line = mem_alloc(l->room = 1, 1)))
		return ERR_NOMEM;
	return 0;
}

/* The next line without its end, and the first one without a byte order mark. *more: whether there was one. */
static int lines_next(struct lines *l, bool *more)
{
	if (l->asks)
		fputs("> ", stderr);
	size_t n = 0;
	int rc = read_line(l, &n, more);
	if (rc || !*more)
		return rc;
	l->number++;
	if (n > 0 && l->line[n - 1] == '\r')
		n--;
	if (l->number == 1 && n >= 3 && !memcmp(l->line, "\xef\xbb\xbf", 3)) {
		n -= 3;
		memmove(l->line, l->line + 3, n);
	}
	l->line[n] = '\0';
	l->bytes = n;
	return 0;
}

/* A name of a file, which cannot be empty. */
static int predict_name(struct predictor *p, const struct lines *l)
{
	if (strlen(l->line) == l->bytes && l->bytes > 0)
		return predictor_file(p, l->line);
	err_set(ERR_DATA, "%s:%" PRId64 ": the name of a file is %s", l->name, l->number,
	    l->bytes ? "cut by a NUL byte" : "empty");
	return predictor_failed(p, l->name, ERR_DATA);
}

static int predict_lines(struct predictor *p, struct lines *l)
{
	bool more = true;
	int rc = 0;
	while (!rc) {
		char where[1100];
		rc = lines_next(l, &more);
		if (rc) {
			rc = predictor_failed(p, l->name, rc);
			break;
		}
		if (!more)
			break;
		p->o.alone = false;
		snprintf(where, sizeof(where), "%s:%" PRId64, l->name, l->number);
		rc = predictor_takes_images(p) ? predict_name(p, l) : predictor_text(p, where, l->line, l->bytes);
	}
	if (l->asks)
		fputc('\n', stderr);
	mem_free(l->line);
	return rc;
}

int predict_standard_input(struct predictor *p)
{
	struct lines l = {.f = stdin, .name = STANDARD_INPUT, .asks = isatty(STDIN_FILENO) == 1};
	return predict_lines(p, &l);
}

/* ---- files of texts ---- */

static int predict_column(struct predictor *p, const char *path, const char *column)
{
	struct text_column c = {0};
	int rc = text_column_read(&c, path, column);
	if (rc)
		return predictor_failed(p, path, rc);
	p->o.alone = false;
	for (int64_t i = 0; !rc && i < c.n; i++) {
		char where[1100];
		size_t bytes;
		int line;
		const char *text = text_column_row(&c, i, &bytes, &line);
		snprintf(where, sizeof(where), "%s:%d", path, line);
		rc = predictor_text(p, where, text, bytes);
	}
	text_column_clear(&c);
	return rc;
}

/* NULL: the message is set. */
static FILE *open_lines(const char *path)
{
	int fd;
	if (fs_open_regular(path, &fd))
		return NULL;
	FILE *f = fdopen(fd, "rb");
	if (!f) {
		err_set(ERR_IO, "%s: %s", path, strerror(errno));
		close(fd);
	}
	return f;
}

int predict_text_file(struct predictor *p, const char *path, const char *column)
{
	if (text_column_has_suffix(path))
		return predict_column(p, path, column);
	if (column)
		return err_set(ERR_CONFIG,
		    "%s: --column is of .csv, .tsv and .jsonl files; other files have one text "
		    "per line",
		    path);
	struct lines l = {.name = path};
	if (image_has_suffix(path))
		err_set(ERR_DATA, "%s: an image, and the model takes texts", path);
	else
		l.f = open_lines(path);
	if (!l.f)
		return predictor_failed(p, path, ERR_DATA);
	int rc = predict_lines(p, &l);
	fclose(l.f);
	return rc;
}

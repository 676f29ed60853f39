#include "pipeline/predict_inputs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "data/text_column.h"

#define STANDARD_INPUT "standard input"
#define LINE_BYTES     (1 << 20)
#define SKIPPED_BYTES  (1 << 30) /* of a longer line: what goes on for ever is given up */
#define MAX_DEPTH      64        /* folders in folders */

/* ---- images ---- */

struct folder_walk {
	struct predictor *p;
	int64_t images, others;
	int depth;
	struct stat above[MAX_DEPTH]; /* folders that the walk is in: a link to one of them would have no end */
};

static int predict_folder(struct folder_walk *w, const char *folder);

static bool is_above(const struct folder_walk *w, const struct stat *st)
{
	for (int i = 0; i < w->depth; i++)
		if (w->above[i].st_dev == st->st_dev && w->above[i].st_ino == st->st_ino)
			return true;
	return false;
}

static int predict_entry(struct folder_walk *w, const char *path, const char *name)
{
	struct stat st;
	bool is_folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
	/* As in a data set, hidden names are no samples. */
	if (*name == '.' || (is_folder ? is_above(w, &st) : !image_has_suffix(name))) {
		w->others++;
		return 0;
	}
	if (is_folder)
		return predict_folder(w, path);
	w->images++;
	w->p->o.alone = false;
	return predictor_file(w->p, path);
}

static int predict_folder(struct folder_walk *w, const char *folder)
{
	struct fs_list list = {0};
	struct stat st;
	int rc = w->depth == MAX_DEPTH
		     ? err_set(ERR_DATA, "%s: more than %d folders inside each other", folder, MAX_DEPTH)
		     : fs_list(folder, &list);
	if (!rc && stat(folder, &st) < 0)
		rc = err_set(ERR_DATA, "%s: %s", folder, strerror(errno));
	if (rc) {
		fs_list_clear(&list);
		return predictor_failed(w->p, folder, rc);
	}
	w->above[w->depth++] = st;
	for (int i = 0; !rc && i < list.n; i++) {
		char *path = mem_printf("%s/%s", folder, list.name[i]);
		rc = path ? predict_entry(w, path, list.name[i]) : ERR_NOMEM;
		mem_free(path);
	}
	w->depth--;
	fs_list_clear(&list);
	return rc;
}

static int predict_top_folder(struct predictor *p, const char *folder)
{
	struct folder_walk w = {.p = p};
	char *name = mem_strdup(folder);
	int rc = name ? 0 : ERR_NOMEM;
	for (size_t n = name ? strlen(name) : 0; n > 1 && name[n - 1] == '/'; n--)
		name[n - 1] = '\0';
	const int64_t before = p->failed;
	if (!rc)
		rc = predict_folder(&w, name);
	mem_free(name);
	if (!rc && w.others)
		fprintf(stderr,
		    "%s: %" PRId64 " of %" PRId64 " entries are no images by their names and were passed over\n",
		    folder, w.others, w.others + w.images);
	if (!rc && !w.images && p->failed == before) {
		err_set(ERR_DATA, "%s: holds no .jpg, .jpeg, .png, .webp, .tif, .tiff or .bmp file", folder);
		rc = predictor_failed(p, folder, ERR_DATA);
	}
	return rc;
}

int predict_images(struct predictor *p, const char *path)
{
	if (!strcmp(path, "-"))
		return predict_standard_input(p);
	return fs_is_dir(path) ? predict_top_folder(p, path) : predictor_file(p, path);
}

/* ---- lines ---- */

struct lines {
	FILE *f;
	const char *name;
	bool asks; /* a person types them */
	char *line;
	size_t room, bytes;
	int64_t number; /* from 1 */
	/* Bytes that were read before, to see what they are, and how many of them are taken. */
	unsigned char head[IMAGE_HEAD];
	size_t in_head, taken;
};

static int next_byte(struct lines *l)
{
	return l->taken < l->in_head ? l->head[l->taken++] : getc_unlocked(l->f);
}

/* Passes over the rest of a line that is too long. *more: it has an end, and the next line may be read. */
static int skip_line(struct lines *l, bool *more)
{
	int64_t left = SKIPPED_BYTES;
	int c = 0;
	while (left-- > 0 && (c = next_byte(l)) != EOF && c != '\n')
		continue;
	*more = c == '\n';
	l->number++;
	return err_set(ERR_DATA, "%s:%" PRId64 ": a line of more than %d bytes", l->name, l->number, LINE_BYTES);
}

/* Reads up to the end of the line, which is left out; getline would take whatever comes. */
static int read_line(struct lines *l, size_t *n, bool *more)
{
	int c;
	errno = 0;
	while ((c = next_byte(l)) != EOF && c != '\n') {
		if (*n == LINE_BYTES)
			return skip_line(l, more);
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

static int predict_text(struct predictor *p, const struct lines *l, const char *where)
{
	if (predictor_takes_pairs(p) && text_line_is_blank(l->line, l->bytes))
		return predictor_text(p, where, TEXT_PAIR_EMPTY, 1);
	if (predictor_takes_pairs(p) && text_pair_divide(where, l->line, l->bytes))
		return predictor_failed(p, where, ERR_DATA);
	return predictor_text(p, where, l->line, l->bytes);
}

static int predict_line(struct predictor *p, const struct lines *l)
{
	char where[1100];
	p->o.alone = false;
	snprintf(where, sizeof(where), "%s:%" PRId64, l->name, l->number);
	return predictor_takes_images(p) ? predict_name(p, l) : predict_text(p, l, where);
}

static int predict_lines(struct predictor *p, struct lines *l)
{
	bool more = true;
	int rc = 0;
	while (!rc && more) {
		more = false;
		rc = lines_next(l, &more);
		if (rc)
			rc = predictor_failed(p, l->name, rc);
		else if (more)
			rc = predict_line(p, l);
	}
	if (l->asks)
		fputc('\n', stderr);
	mem_free(l->line);
	return rc;
}

/* The one image that is on standard input, of which the head was read. */
static int predict_image_bytes(struct predictor *p, const struct lines *l)
{
	size_t n = l->in_head, room = 1 << 16, got = 1;
	unsigned char *bytes = mem_alloc(room, 1);
	int rc = bytes ? 0 : ERR_NOMEM;
	if (!rc)
		memcpy(bytes, l->head, n);
	while (!rc && got > 0 && n <= IMAGE_FILE_MAX) {
		if (n == room) {
			unsigned char *grown = mem_grow(bytes, room, 2 * room, 1);
			rc = grown ? 0 : ERR_NOMEM;
			bytes = grown ? grown : bytes;
			room = grown ? 2 * room : room;
		}
		got = rc ? 0 : fread(bytes + n, 1, room - n, l->f);
		n += got;
	}
	if (!rc && ferror(l->f))
		rc = err_set(ERR_DATA, STANDARD_INPUT ": %s", strerror(errno));
	if (!rc && n > IMAGE_FILE_MAX)
		rc = err_set(ERR_DATA, STANDARD_INPUT ": an image of more than %u bytes", IMAGE_FILE_MAX);
	rc = rc ? predictor_failed(p, STANDARD_INPUT, rc) : predictor_image(p, STANDARD_INPUT, bytes, n);
	mem_free(bytes);
	return rc;
}

/* Reads as few bytes as tell: who writes names may wait for the answer to the first. */
static bool begins_with_image(struct lines *l)
{
	bool is_image = false, more = true;
	int c;
	while (more && l->in_head < IMAGE_HEAD && (c = getc(l->f)) != EOF) {
		l->head[l->in_head++] = (unsigned char)c;
		is_image = image_begins(l->head, l->in_head, &more);
	}
	return is_image;
}

int predict_standard_input(struct predictor *p)
{
	struct lines l = {.f = stdin, .name = STANDARD_INPUT, .asks = isatty(STDIN_FILENO) == 1};
	if (predictor_takes_images(p) && !l.asks && begins_with_image(&l))
		return predict_image_bytes(p, &l);
	return predict_lines(p, &l);
}

/* ---- files of texts ---- */

static int predict_columns(struct predictor *p, const char *path, const struct text_column_options *o)
{
	struct text_column c = {0};
	int rc = text_column_read(&c, path, o);
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

int predict_text_file(struct predictor *p, const char *path, const char *column, const char *pair_column)
{
	const struct text_column_options o = {
	    column, pair_column, predictor_takes_pairs(p), "--column", "--pair-column", NULL};
	if (text_column_has_suffix(path))
		return predict_columns(p, path, &o);
	if (column || pair_column)
		return err_set(ERR_CONFIG,
		    "%s: --%s is of .csv, .tsv and .jsonl files; other files have one %s per line", path,
		    column ? "column" : "pair-column", o.pairs ? "pair, with a tab between its texts," : "text");
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

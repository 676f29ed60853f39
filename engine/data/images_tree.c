#include "data/images_tree.h"

#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/image.h"
#include "data/names.h"

#define MAX_ENTRIES 16000000
#define MAX_FOLDERS 65536 /* names are kept sorted: more would take long */
#define LISTED_MAX  10    /* folders in a message */

struct level {
	const struct tree *t;
	const char *split[SPLIT_COUNT]; /* names of folders; NULL: none */
	char *found[SPLIT_COUNT];       /* owned: such that no option names */
	bool splits;                    /* any is named */
	const char *top;                /* path of the folder that class or split folders lie in; borrowed */
	size_t top_bytes;               /* of its path with the slash behind it; 0: the whole tree */
	struct names held, met;         /* class folders, as paths: those with samples, all */
	size_t hidden_bytes;            /* the hidden part of the last hidden entry, which is in `hidden` */
	const char *hidden;
};

/* ---- entries ---- */

int tree_add(struct tree *t, const char *path, enum archive_kind kind)
{
	if (t->n == MAX_ENTRIES)
		return err_set(ERR_DATA, "%s: more than %d entries", t->place, MAX_ENTRIES);
	if (t->n == t->cap) {
		int64_t cap = t->cap ? 2 * t->cap : 1024;
		struct tree_entry *v = mem_grow(t->v, (size_t)t->cap, (size_t)cap, sizeof(*v));

		if (!v)
			return ERR_NOMEM;
		t->v = v;
		t->cap = cap;
	}
	t->v[t->n] = (struct tree_entry){mem_strdup(path), kind};
	return t->v[t->n++].path ? 0 : ERR_NOMEM;
}

void tree_clear(struct tree *t)
{
	for (int64_t i = 0; i < t->n; i++)
		mem_free(t->v[i].path);
	mem_free(t->v);
	*t = (struct tree){0};
}

static bool is_hidden(const char *name, size_t n)
{
	static const char *const left_behind[] = {"__MACOSX", "Thumbs.db", "desktop.ini"};

	for (size_t i = 0; i < sizeof(left_behind) / sizeof(left_behind[0]); i++)
		if (n == strlen(left_behind[i]) && strncasecmp(name, left_behind[i], n) == 0)
			return true;
	return name[0] == '.';
}

bool tree_is_hidden(const char *name)
{
	return is_hidden(name, strlen(name));
}

/* The bytes of a path up to the end of its first hidden part; 0: none. */
static size_t hidden_part(const char *path)
{
	const char *p = path;

	for (;;) {
		size_t n = strcspn(p, "/");

		if (is_hidden(p, n))
			return (size_t)(p - path) + n;
		if (p[n] == '\0')
			return 0;
		p += n + 1;
	}
}

static bool is_image(const struct tree_entry *e)
{
	return e->kind == ARCHIVE_FILE && image_has_suffix(e->path) && hidden_part(e->path) == 0;
}

/* The part of a path below the top folder, or NULL. */
static const char *below_top(const struct level *v, const char *path)
{
	if (v->top_bytes == 0)
		return path;
	return strncmp(path, v->top, v->top_bytes) == 0 ? path + v->top_bytes : NULL;
}

static int depth_of(const char *path)
{
	int n = 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

/* ---- levels ---- */

/* The folders in the top folder that images lie in, at whatever depth. */
struct folders {
	struct names name, deeper; /* all; those in which images lie in folders */
	const char *any;           /* path of an image in one of them */
	bool flat, deep;           /* images lie directly in one of them; or deeper */
};

static int add_part(const struct level *v, struct names *names, const char *p, size_t n)
{
	char *part = mem_printf("%.*s", (int)n, p);
	int rc = part ? names_add(names, part) : ERR_NOMEM;

	mem_free(part);
	if (!rc && names->n > MAX_FOLDERS)
		return err_set(ERR_DATA, "%s: images in more than %d folders", v->t->place, MAX_FOLDERS);
	return rc;
}

static int find_folders(const struct level *v, struct folders *f)
{
	int rc = 0;

	*f = (struct folders){0};
	for (int64_t i = 0; i < v->t->n && !rc; i++) {
		const char *path = v->t->v[i].path, *below = below_top(v, path);
		int depth = below && is_image(&v->t->v[i]) ? depth_of(below) : 0;

		if (depth == 0)
			continue;
		f->flat = f->flat || depth == 1;
		f->deep = f->deep || depth > 1;
		f->any = path;
		rc = add_part(v, &f->name, below, strcspn(below, "/"));
		if (!rc && depth > 1)
			rc = add_part(v, &f->deeper, below, strcspn(below, "/"));
	}
	return rc;
}

static bool looks_like_split(const char *name)
{
	return split_of_word(name, strlen(name)) != SPLIT_NONE;
}

static void list_folders(struct str *out, const struct folders *f)
{
	for (int i = 0; i < f->name.n && i < LISTED_MAX; i++)
		str_addf(out, "%s%.80s", i ? ", " : "", f->name.v[i]);
	if (f->name.n > LISTED_MAX)
		str_addf(out, ", ... (%d in all)", f->name.n);
}

/* What keeps the folders in the top folder from being classes, or splits. */
static int no_classes(const struct level *v, const struct folders *f, const char *what)
{
	const struct tree *t = v->t;
	struct str list = {0};
	int rc;

	list_folders(&list, f);
	rc = err_set(ERR_DATA, "%s%s%.*s: %s: %s", t->place, v->top_bytes ? t->separator : "",
	    v->top_bytes ? (int)v->top_bytes - 1 : 0, v->top_bytes ? v->top : "", what, str_text(&list));
	str_clear(&list);
	return rc;
}

static bool names_split(const struct level *v, const struct folders *f)
{
	for (int s = 0; s < SPLIT_COUNT; s++)
		if (v->split[s] && names_find(&f->name, v->split[s]) >= 0)
			return true;
	return false;
}

static bool all_look_like_splits(const struct folders *f)
{
	for (int i = 0; i < f->name.n; i++)
		if (!looks_like_split(f->name.v[i]))
			return false;
	return true;
}

/* Whether folders that hold folders are splits by their names: all of them, or one for training and one more. A class
 * may be called train too. */
static bool are_splits(const struct level *v, const struct folders *f)
{
	bool has[SPLIT_COUNT] = {false};

	for (int i = 0; i < f->deeper.n; i++)
		if (looks_like_split(f->deeper.v[i]))
			has[split_of_word(f->deeper.v[i], strlen(f->deeper.v[i]))] = true;
	/* Archives may be one for each split. */
	if (v->t->archive >= 0 && f->deeper.n > 0 && all_look_like_splits(f))
		return true;
	return has[SPLIT_TRAIN] && (has[SPLIT_VAL] || has[SPLIT_TEST] || all_look_like_splits(f));
}

static const char *option_of(int split)
{
	static const char *const names[SPLIT_COUNT] = {
	    [SPLIT_TRAIN] = "train", [SPLIT_VAL] = "val", [SPLIT_TEST] = "test"};

	return names[split];
}

/* Takes folders by their names where no option names any. */
static int find_splits(struct level *v, const struct folders *f, struct listing *l)
{
	struct str text = {0};
	int rc = 0;

	for (int i = 0; i < f->deeper.n && !rc; i++) {
		const char *name = f->deeper.v[i];
		int s = split_of_word(name, strlen(name));

		if (s == SPLIT_NONE)
			continue;
		if (v->found[s])
			rc = err_set(ERR_DATA,
			    "%s%s%.*s: the folders %.80s and %.80s may both be for data.%s; name one by it",
			    v->t->place, v->top_bytes ? v->t->separator : "", v->top_bytes ? (int)v->top_bytes - 1 : 0,
			    v->top_bytes ? v->top : "", v->found[s], name, option_of(s));
		else if (!(v->found[s] = mem_strdup(name)))
			rc = ERR_NOMEM;
		v->split[s] = v->found[s];
	}
	v->splits = true;
	for (int s = 0; s < SPLIT_COUNT && !rc; s++)
		if (v->split[s])
			str_addf(&text, "%s%s: %.80s", text.len ? ", " : "", option_of(s), v->split[s]);
	if (!rc)
		rc = note_found(&l->notes, "folders of splits (%s)", str_text(&text));
	str_clear(&text);
	return rc;
}

/* Whether the level is found; else *down says that there is one folder to go into. */
static int check_level(struct level *v, const struct folders *f, struct listing *l, bool *down)
{
	*down = false;
	if (f->name.n == 0)
		return err_set(ERR_DATA,
		    "%s: holds no class folders with images (.jpg, .jpeg, .png, .webp, .tif, .tiff, .bmp)",
		    v->t->place);
	if (v->splits && names_split(v, f))
		return 0;
	if (!v->splits && !l->only_test && are_splits(v, f))
		return find_splits(v, f, l);
	if (!v->splits && f->deep && all_look_like_splits(f))
		return no_classes(v, f,
		    l->only_test
			? "these folders look like splits, not like classes; path must lead into one of them"
			: "these folders look like splits, not like classes, and none is called train; "
			  "data.train, data.val and data.test name such folders, or path leads into one of them");
	if (!v->splits && f->flat)
		return 0;
	*down = !f->flat && f->name.n == 1;
	if (*down)
		return 0;
	if (v->splits)
		return no_classes(v, f, "none of these folders is named by data.train, data.val or data.test");
	return no_classes(v, f, "the images in these folders lie deeper than in class folders");
}

static int find_level(struct level *v, struct listing *l)
{
	struct folders f;
	bool down = true;
	int rc = 0;

	while (!rc && down) {
		rc = find_folders(v, &f);
		if (!rc)
			rc = check_level(v, &f, l, &down);
		if (!rc && down) {
			v->top_bytes += strlen(f.name.v[0]) + 1;
			v->top = f.any;
		}
		names_clear(&f.name);
		names_clear(&f.deeper);
	}
	return rc;
}

/* ---- samples ---- */

static int note_hidden(struct level *v, struct listing *l, const char *path, size_t n)
{
	char *part;
	int rc;

	/* What lies in one hidden folder counts once. */
	if (n == v->hidden_bytes && strncmp(path, v->hidden, n) == 0)
		return 0;
	v->hidden = path;
	v->hidden_bytes = n;
	part = mem_printf("%.*s", (int)n, path);
	rc = part ? note_add(&l->notes, NOTE_HIDDEN, part) : ERR_NOMEM;
	mem_free(part);
	return rc;
}

static int refuse_special(const struct tree *t, const char *path)
{
	return err_set(ERR_DATA, "%s%s%s: is a FIFO, a device or a socket, not a file", t->place, t->separator, path);
}

/* The split that the first part of a path names: SPLIT_DROP if none does. What is for training may be cut. */
static int split_of(const struct level *v, const char *below)
{
	size_t n = strcspn(below, "/");

	for (int s = 0; s < SPLIT_COUNT; s++)
		if (v->split[s] && strlen(v->split[s]) == n && strncmp(below, v->split[s], n) == 0)
			return s;
	return SPLIT_DROP;
}

static int add_image(struct level *v, struct listing *l, const char *path, const char *below)
{
	int split = v->splits ? split_of(v, below) : SPLIT_NONE, depth = depth_of(below) - v->splits, rc;

	if (depth < 1 || (v->splits && split == SPLIT_DROP))
		return note_add(&l->notes, depth < 1 ? NOTE_LOOSE : NOTE_UNNAMED, path);
	if (depth > 1)
		return note_add(&l->notes, NOTE_NESTED, path);
	rc = add_part(v, &v->held, path, (size_t)(strrchr(path, '/') - path));
	if (!rc)
		rc = listing_add(l, -1, split, path);
	if (!rc)
		l->sample[l->n - 1].archive = v->t->archive;
	return rc;
}

/* The class folder that an entry is or lies in, for those that turn out to hold nothing. */
static int meet_class(struct level *v, const struct tree_entry *e, const char *below)
{
	const char *p = below;

	if (v->splits && split_of(v, below) == SPLIT_DROP)
		return 0;
	if (v->splits) {
		p += strcspn(p, "/");
		p += *p == '/';
	}
	p += strcspn(p, "/");
	if (*p == '\0' && (e->kind != ARCHIVE_FOLDER || (v->splits && !strchr(below, '/'))))
		return 0;
	return add_part(v, &v->met, e->path, (size_t)(p - e->path));
}

static int list_entry(struct level *v, struct listing *l, const struct tree_entry *e)
{
	const char *below = below_top(v, e->path);
	size_t hidden = hidden_part(e->path);
	int rc;

	if (hidden > 0)
		return note_hidden(v, l, e->path, hidden);
	rc = below ? meet_class(v, e, below) : 0;
	if (!rc && e->kind == ARCHIVE_FOLDER && below && depth_of(below) > v->splits && image_has_suffix(below))
		return note_add(&l->notes, NOTE_SPECIAL, e->path);
	if (rc || e->kind == ARCHIVE_FOLDER)
		return rc;
	if (e->kind == ARCHIVE_LINK)
		return note_add(&l->notes, NOTE_LINK, e->path);
	if (e->kind == ARCHIVE_OTHER)
		return image_has_suffix(e->path) ? refuse_special(v->t, e->path)
						 : note_add(&l->notes, NOTE_SPECIAL, e->path);
	if (!image_has_suffix(e->path))
		return note_add(&l->notes, NOTE_SUFFIX, e->path);
	return below ? add_image(v, l, e->path, below) : note_add(&l->notes, NOTE_LOOSE, e->path);
}

static int note_empty(const struct level *v, struct listing *l)
{
	int rc = 0;

	for (int i = 0; i < v->met.n && !rc; i++)
		if (names_find(&v->held, v->met.v[i]) < 0)
			rc = note_add(&l->notes, NOTE_EMPTY, v->met.v[i]);
	return rc;
}

int tree_list(const struct tree *t, struct listing *l, const struct data_options *o)
{
	struct level v = {.t = t, .split = {o->train, o->val, o->test}};
	int rc;

	for (int s = 0; s < SPLIT_COUNT; s++)
		v.splits = v.splits || v.split[s];
	rc = find_level(&v, l);
	for (int64_t i = 0; i < t->n && !rc; i++)
		rc = list_entry(&v, l, &t->v[i]);
	if (!rc)
		rc = note_empty(&v, l);
	names_clear(&v.held);
	names_clear(&v.met);
	for (int s = 0; s < SPLIT_COUNT; s++)
		mem_free(v.found[s]);
	return rc;
}

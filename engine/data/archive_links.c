#include "data/archive_links.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/names.h"

#define MAX_LINKS 200000
#define MAX_STEPS 40 /* links that one link leads through, as in Linux */

/* The target as a path of the archive; NULL in *out if it leads out. */
static int clean_target(char **out, const char *name, const char *target, bool symbolic)
{
	const char *slash = symbolic ? strrchr(name, '/') : NULL;
	char *p;

	*out = NULL;
	if (symbolic && *target == '/')
		return 0;
	p = slash ? mem_printf("%.*s/%s", (int)(slash - name), name, target) : mem_strdup(target);
	if (!p)
		return ERR_NOMEM;
	if (path_clean(p))
		*out = p;
	else
		mem_free(p);
	return 0;
}

/* Appends one without a target. */
static int add_link(struct archive_links *l, const char *name)
{
	struct archive_link *k;

	if (l->n == MAX_LINKS)
		return err_set(ERR_DATA, "more than %d links", MAX_LINKS);
	if (l->n == l->cap) {
		int cap = l->cap ? 2 * l->cap : 64;

		k = mem_grow(l->v, (size_t)l->cap, (size_t)cap, sizeof(*k));
		if (!k)
			return ERR_NOMEM;
		l->v = k;
		l->cap = cap;
	}
	k = &l->v[l->n++];
	*k = (struct archive_link){.name = mem_strdup(name)};
	return k->name ? 0 : ERR_NOMEM;
}

int archive_links_add(struct archive_links *l, const char *name, const char *target, bool symbolic)
{
	int rc = add_link(l, name);

	return !rc ? clean_target(&l->v[l->n - 1].target, name, target, symbolic) : rc;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct archive_link *)a)->name, ((const struct archive_link *)b)->name);
}

/* Compares the first n bytes of `path`, as a whole string, with `s`. */
static int compare_start(const char *path, int n, const char *s)
{
	int c = strncmp(path, s, (size_t)n);

	return c != 0 ? c : s[n] == '\0' ? 0 : -1;
}

static const struct archive_link *find_name(const struct archive_links *l, const char *path, int n)
{
	int lo = 0, hi = l->n;

	while (lo < hi) {
		int mid = lo + (hi - lo) / 2, c = compare_start(path, n, l->v[mid].name);

		if (c == 0)
			return &l->v[mid];
		if (c > 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* The shortest start of `path`, whole parts, that is the name of a link; *n its length. */
static const struct archive_link *link_in(const struct archive_links *l, const char *path, int *n)
{
	const char *slash = path;

	for (;;) {
		const struct archive_link *k;

		slash = strchr(slash, '/');
		*n = slash ? (int)(slash - path) : (int)strlen(path);
		k = find_name(l, path, *n);
		if (k || !slash)
			return k;
		slash++;
	}
}

/* The path behind all links, or NULL in *out where they lead nowhere. Uses the targets as they were given. */
static int resolve(const struct archive_links *l, const char *target, char **out)
{
	const struct archive_link *k;
	char *path = mem_strdup(target);
	int n;

	*out = NULL;
	if (!path)
		return ERR_NOMEM;
	for (int step = 0; (k = link_in(l, path, &n)) != NULL; step++) {
		char *next;

		if (!k->target || step == MAX_STEPS || strlen(path) > PATH_MAX) {
			mem_free(path);
			return 0;
		}
		next = mem_printf("%s%s", k->target, path + n);
		mem_free(path);
		if (!next)
			return ERR_NOMEM;
		path = next;
		path_clean(path); /* an empty target leaves a slash in front */
	}
	*out = path;
	return 0;
}

struct target {
	const char *path;
	int link;
};

static int by_path(const void *a, const void *b)
{
	const struct target *x = a, *y = b;
	int c = strcmp(x->path, y->path);

	return c != 0 ? c : x->link - y->link;
}

/* Whether the link lies in what it leads to: it would be met again inside of itself. */
static bool is_loop(const struct archive_link *k)
{
	size_t n = strlen(k->target);

	return n == 0 || (strncmp(k->name, k->target, n) == 0 && (k->name[n] == '/' || k->name[n] == '\0'));
}

static int sort_targets(struct archive_links *l)
{
	struct target *t = mem_alloc((size_t)l->n + 1, sizeof(*t));

	l->by_target = mem_alloc((size_t)l->n + 1, sizeof(int));
	if (!t || !l->by_target) {
		mem_free(t);
		return ERR_NOMEM;
	}
	for (int i = 0; i < l->n; i++)
		if (l->v[i].target && !is_loop(&l->v[i]))
			t[l->n_target++] = (struct target){l->v[i].target, i};
	qsort(t, (size_t)l->n_target, sizeof(*t), by_path);
	for (int i = 0; i < l->n_target; i++)
		l->by_target[i] = t[i].link;
	mem_free(t);
	return 0;
}

/* A folder that a link leads to may hold links: they are seen through it too. */
static int add_through(struct archive_links *l, int folder, int n)
{
	size_t start = strlen(l->v[folder].target);
	int lo = 0, hi = n, rc = 0;

	while (lo < hi) { /* the first name behind the folder's own */
		int mid = lo + (hi - lo) / 2;

		if (strcmp(l->v[mid].name, l->v[folder].target) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < n && !rc && strncmp(l->v[lo].name, l->v[folder].target, start) == 0; lo++) {
		char *name;

		if (l->v[lo].name[start] != '/' || !l->v[lo].target)
			continue;
		name = mem_printf("%s%s", l->v[folder].name, l->v[lo].name + start);
		rc = name ? add_link(l, name) : ERR_NOMEM;
		mem_free(name);
		if (!rc && !(l->v[l->n - 1].target = mem_strdup(l->v[lo].target)))
			rc = ERR_NOMEM;
	}
	return rc;
}

int archive_links_resolve(struct archive_links *l)
{
	const int n = l->n;

	char **end = mem_alloc((size_t)l->n + 1, sizeof(*end));
	int rc = end ? 0 : ERR_NOMEM;

	if (l->n > 1)
		qsort(l->v, (size_t)l->n, sizeof(*l->v), by_name);
	for (int i = 0; i < l->n && !rc; i++)
		if (l->v[i].target)
			rc = resolve(l, l->v[i].target, &end[i]);
	for (int i = 0; i < l->n && !rc; i++) {
		mem_free(l->v[i].target);
		l->v[i].target = end[i];
		end[i] = NULL;
	}
	for (int i = 0; end && i < l->n; i++)
		mem_free(end[i]);
	mem_free(end);
	for (int i = 0; i < n && !rc; i++)
		if (l->v[i].target && !is_loop(&l->v[i]))
			rc = add_through(l, i, n);
	return !rc ? sort_targets(l) : rc;
}

int archive_links_find(const struct archive_links *l, const char *path, int n, int *first)
{
	int lo = 0, hi = l->n_target, count = 0;

	while (lo < hi) {
		int mid = lo + (hi - lo) / 2;

		if (compare_start(path, n, l->v[l->by_target[mid]].target) > 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*first = lo;
	while (lo + count < l->n_target && compare_start(path, n, l->v[l->by_target[lo + count]].target) == 0)
		count++;
	return count;
}

void archive_links_clear(struct archive_links *l)
{
	for (int i = 0; i < l->n; i++) {
		mem_free(l->v[i].name);
		mem_free(l->v[i].target);
	}
	mem_free(l->v);
	mem_free(l->by_target);
	*l = (struct archive_links){0};
}

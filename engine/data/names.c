/* Sorted by strcmp, so that class numbers do not depend on the locale. */
#include "data/names.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* The first index whose name is not below `name`. */
static int lower_bound(const struct names *s, const char *name, bool *equal)
{
	int lo = 0, hi = s->n;

	*equal = false;
	while (lo < hi) {
		int mid = lo + (hi - lo) / 2, c = strcmp(s->v[mid], name);

		if (c == 0) {
			*equal = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int names_add(struct names *s, const char *name)
{
	bool there;
	int at = lower_bound(s, name, &there);
	char *copy;

	if (there)
		return 0;
	if (s->n == s->cap) {
		int cap = s->cap ? 2 * s->cap : 16;
		char **v = mem_grow(s->v, (size_t)s->cap, (size_t)cap, sizeof(*v));

		if (!v)
			return ERR_NOMEM;
		s->v = v;
		s->cap = cap;
	}
	copy = mem_strdup(name);
	if (!copy)
		return ERR_NOMEM;
	memmove(s->v + at + 1, s->v + at, (size_t)(s->n - at) * sizeof(*s->v));
	s->v[at] = copy;
	s->n++;
	return 0;
}

int names_find(const struct names *s, const char *name)
{
	bool there;
	int at = lower_bound(s, name, &there);

	return there ? at : -1;
}

void names_clear(struct names *s)
{
	for (int i = 0; i < s->n; i++)
		mem_free(s->v[i]);
	mem_free(s->v);
	*s = (struct names){0};
}

bool path_clean(char *path)
{
	const char *in = path;
	char *out = path;

	while (*in) {
		size_t n = strcspn(in, "/");

		if (n == 2 && in[0] == '.' && in[1] == '.') {
			if (out == path)
				return false;
			while (out > path && *--out != '/')
				;
		} else if (n > 0 && !(n == 1 && in[0] == '.')) {
			if (out > path)
				*out++ = '/';
			memmove(out, in, n);
			out += n;
		}
		in += n;
		in += *in == '/';
	}
	*out = '\0';
	return true;
}

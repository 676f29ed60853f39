/* Lists of samples and the finding of files: what all sources share. Reads nothing. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/source.h"
#include "text/escape.h"
#include "text/unicode.h"

int listing_add(struct listing *l, int32_t label, int split, const char *file)
{
	struct sample *s;

	/* Sampler and permutations count with 32 bits. */
	if (l->n >= INT32_MAX)
		return err_set(ERR_DATA, "more than %d samples", INT32_MAX);
	if (l->n == l->cap) {
		int64_t cap = l->cap ? 2 * l->cap : 1024;

		s = mem_grow(l->sample, (size_t)l->cap, (size_t)cap, sizeof(*s));
		if (!s)
			return ERR_NOMEM;
		l->sample = s;
		l->cap = cap;
	}
	s = &l->sample[l->n];
	*s = (struct sample){.label = label, .split = split, .archive = -1};
	if (file && !(s->file = mem_strdup(file)))
		return ERR_NOMEM;
	l->n++;
	return 0;
}

int listing_number_classes(struct listing *l, int first, int classes)
{
	l->class_name = mem_alloc((size_t)classes, sizeof(char *));
	if (!l->class_name)
		return ERR_NOMEM;
	l->classes = classes;
	for (int c = 0; c < classes; c++) {
		l->class_name[c] = mem_printf("%d", first + c);
		if (!l->class_name[c])
			return ERR_NOMEM;
	}
	return 0;
}

/* The first byte of what a name must not hold, or NULL. */
static const unsigned char *find_unprintable(const char *name, bool *valid)
{
	const unsigned char *p = (const unsigned char *)name, *end = p + strlen(name);

	while (p < end) {
		const unsigned char *at = p;
		int32_t c = unicode_decode(&p, end);

		*valid = c >= 0;
		if (c < 0x20 || (c >= 0x7f && c <= 0x9f))
			return at;
	}
	return NULL;
}

int listing_check_names(const struct listing *l, const char *place)
{
	for (int c = 0; c < l->classes; c++) {
		bool valid = true;
		const unsigned char *at = find_unprintable(l->class_name[c], &valid);
		struct str name = {0};
		int rc;

		if (!at)
			continue;
		escape_add(&name, l->class_name[c], strlen(l->class_name[c]));
		rc = err_set(ERR_DATA, "%s: the name of class '%.200s' %s (byte 0x%02x)", place, str_text(&name),
		    valid ? "has a control character" : "is not UTF-8", *at);
		str_clear(&name);
		return rc;
	}
	return 0;
}

void listing_clear(struct listing *l)
{
	for (int64_t i = 0; i < l->n; i++)
		mem_free(l->sample[i].file);
	for (int c = 0; l->class_name && c < l->classes; c++)
		mem_free(l->class_name[c]);
	mem_free(l->sample);
	mem_free(l->set);
	mem_free(l->class_name);
	notes_clear(&l->notes);
	*l = (struct listing){0};
}

int source_error(int rc)
{
	return rc == ERR_IO ? err_set(ERR_DATA, "%s", err_message()) : rc;
}

int source_path(char *out, size_t cap, const char *base_dir, const char *dir, const char *name)
{
	char below[1024];
	int n;

	if (name[0] == '/' || !dir || *dir == '\0')
		n = snprintf(below, sizeof(below), "%s", name);
	else
		n = snprintf(below, sizeof(below), "%s%s%s", dir, *name ? "/" : "", name);
	if (n < 0 || (size_t)n >= sizeof(below) || (size_t)n >= cap)
		return err_set(ERR_DATA, "%s: path is too long", name);
	memcpy(out, below, (size_t)n + 1);
	if (fs_exists(out))
		return 0;
	if (name[0] != '/' && dir && *dir && fs_exists(dir) && !fs_is_dir(dir))
		return err_set(ERR_DATA, "%s: is not a folder, in which '%s' is looked for", dir, name);
	if (below[0] == '/' || !base_dir || *base_dir == '\0' || strcmp(base_dir, ".") == 0)
		return err_set(ERR_DATA, "%s: no such file or folder", below);
	n = snprintf(out, cap, "%s/%s", base_dir, below);
	if (n < 0 || (size_t)n >= cap)
		return err_set(ERR_DATA, "%s: path is too long", name);
	if (fs_exists(out))
		return 0;
	return err_set(
	    ERR_DATA, "%s: no such file or folder, neither in the current folder nor in %s", below, base_dir);
}

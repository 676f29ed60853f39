/* Labels are names, as they are written: 1, 01 and +1 are three. Whoever has them in one file most likely means one
 * class, so it is said. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/texts.h"

struct spelled {
	char *number; /* in its shortest form; owned */
	const char *name;
};

static size_t digits(const char *s)
{
	return strspn(s, "0123456789");
}

/* The shortest form of a decimal number: "-1.5" for "-01.50"; NULL in *out for other labels. */
static int shortest_form(const char *name, char **out)
{
	const char *p = name + (*name == '-' || *name == '+'), *point;
	bool minus = *name == '-';
	size_t whole, part = 0;

	*out = NULL;
	p += strspn(p, "0");
	whole = digits(p);
	point = p + whole;
	if (*point == '.') {
		part = digits(point + 1);
		if (point[1 + part] != '\0')
			return 0;
		while (part > 0 && point[part] == '0')
			part--;
	} else if (*point != '\0') {
		return 0;
	}
	if (!strpbrk(name, "0123456789"))
		return 0;
	*out = mem_printf("%s%.*s%s%.*s", minus && whole + part > 0 ? "-" : "", (int)whole, p, part > 0 ? "." : "",
	    (int)part, point + 1);
	return *out ? 0 : ERR_NOMEM;
}

static int by_number(const void *a, const void *b)
{
	const struct spelled *x = a, *y = b;
	int c = strcmp(x->number, y->number);

	return c != 0 ? c : strcmp(x->name, y->name);
}

static int note_group(struct listing *l, const struct spelled *v, int n)
{
	struct str text = {0};
	int rc;

	for (int i = 0; i < n && i < NOTE_NAMES; i++)
		str_addf(&text, "%s'%.40s'", i > 0 ? " and " : "", v[i].name);
	rc = text.failed ? err_set(ERR_NOMEM, "out of memory") : note_add(&l->notes, NOTE_SPELLING, str_text(&text));
	str_clear(&text);
	return rc;
}

int texts_note_spelling(struct listing *l)
{
	struct spelled *v = mem_alloc((size_t)l->classes + 1, sizeof(*v));
	int n = 0, rc = v ? 0 : ERR_NOMEM;

	for (int c = 0; c < l->classes && !rc; c++) {
		v[n].name = l->class_name[c];
		rc = shortest_form(v[n].name, &v[n].number);
		n += v[n].number != NULL;
	}
	if (!rc && n > 1)
		qsort(v, (size_t)n, sizeof(*v), by_number);
	for (int i = 0, j; i < n && !rc; i = j) {
		for (j = i + 1; j < n && strcmp(v[i].number, v[j].number) == 0; j++)
			;
		rc = j > i + 1 ? note_group(l, v + i, j - i) : 0;
	}
	for (int i = 0; i < n; i++)
		mem_free(v[i].number);
	mem_free(v);
	return rc;
}

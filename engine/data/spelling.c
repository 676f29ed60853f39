/* Classes have names, as they are written: 1, 01 and +1 are three, and so are Cat, cat and "cat" with a blank of no
 * width behind it. Whoever has them in one data set most likely means one class, so it is said. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/source.h"
#include "text/unicode.h"

struct spelled {
	char *form; /* what is the same for names that look alike; owned */
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

static void add_lower(struct str *s, int32_t c)
{
	int32_t part[UNICODE_MAX_DECOMPOSED], lower[UNICODE_MAX_LOWER];
	unsigned char bytes[UNICODE_MAX_BYTES];
	const int parts = unicode_decompose(c, part);

	for (int i = 0; i < parts; i++)
		for (int k = 0, n = unicode_lower(part[i], lower); k < n; k++)
			str_addn(s, (const char *)bytes, (size_t)unicode_encode(lower[k], bytes));
}

/* In lower case, decomposed, without what cannot be seen, and one space for all white space between words. */
static int plain_form(const char *name, char **out)
{
	const unsigned char *at = (const unsigned char *)name, *end = at + strlen(name);
	struct str s = {0};
	bool blank = false;

	while (at < end) {
		const int32_t c = unicode_decode(&at, end);
		const unsigned p = c < 0 ? 0 : unicode_properties(c);

		if (p & UNICODE_WHITE) {
			blank = s.len > 0;
		} else if (!(p & UNICODE_CONTROL)) {
			str_add(&s, blank ? " " : "");
			add_lower(&s, c < 0 ? UNICODE_REPLACEMENT : c);
			blank = false;
		}
	}
	*out = s.failed ? NULL : mem_strdup(str_text(&s));
	str_clear(&s);
	return *out ? 0 : ERR_NOMEM;
}

static int make_form(struct spelled *v)
{
	int rc = shortest_form(v->name, &v->form);

	return rc || v->form ? rc : plain_form(v->name, &v->form);
}

static int by_form(const void *a, const void *b)
{
	const struct spelled *x = a, *y = b;
	int c = strcmp(x->form, y->form);

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

int listing_note_spelling(struct listing *l)
{
	struct spelled *v = mem_alloc((size_t)l->classes + 1, sizeof(*v));
	int n = 0, rc = v ? 0 : ERR_NOMEM;

	while (n < l->classes && !rc) {
		v[n].name = l->class_name[n];
		rc = make_form(&v[n]);
		n += !rc;
	}
	if (!rc && n > 1)
		qsort(v, (size_t)n, sizeof(*v), by_form);
	for (int i = 0, j; i < n && !rc; i = j) {
		for (j = i + 1; j < n && strcmp(v[i].form, v[j].form) == 0; j++)
			;
		rc = j > i + 1 ? note_group(l, v + i, j - i) : 0;
	}
	for (int i = 0; i < n; i++)
		mem_free(v[i].form);
	mem_free(v);
	return rc;
}

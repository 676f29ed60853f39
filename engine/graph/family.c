/* The list of families, and the checks that they share. */
#include "graph/family.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "graph/families.h"

#define FAMILIES_MAX 16

static const struct family_row *rows[FAMILIES_MAX + 1] = {
    &family_mlp, &family_cnn, &family_resnet, &family_bag, &family_encoder};

const struct family_row *const *family_list(void)
{
	return rows;
}

int family_register(const struct family_row *row)
{
	for (int i = 0; i < FAMILIES_MAX; i++) {
		if (!rows[i])
			rows[i] = row;
		if (rows[i] == row)
			return 0;
	}
	return err_set(ERR_FAIL, "no room for another family");
}

const struct family_row *family_find(const char *name)
{
	for (int i = 0; rows[i]; i++)
		if (strcmp(rows[i]->name, name) == 0)
			return rows[i];
	return NULL;
}

void family_add_names(struct str *out)
{
	for (int i = 0; rows[i]; i++)
		str_addf(out, "%s%s", i == 0 ? "" : rows[i + 1] ? ", " : " or ", rows[i]->name);
}

int family_range(enum err code, const char *field, int i, int64_t value, int64_t lo, int64_t hi)
{
	char index[24] = "";
	if (i >= 0)
		snprintf(index, sizeof(index), "[%d]", i);
	if (value < lo || value > hi)
		return err_set(code, "%s%s is %lld, must be %lld to %lld", field, index, (long long)value,
		    (long long)lo, (long long)hi);
	return 0;
}

int family_dropout(enum err code, const char *field, float rate)
{
	return rate >= 0 && rate < 1 ? 0 : err_set(code, "%s is %g, must be in [0, 1)", field, (double)rate);
}

int family_widths(struct model_spec *s, const char *key, struct option_ints list)
{
	int *grown = mem_grow(s->width, (size_t)s->n_width, (size_t)s->n_width + (size_t)list.n + 1, sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	s->width = grown;
	for (int i = 0; i < list.n; i++) {
		int rc = family_range(ERR_CONFIG, key, i, list.v[i], 1, SPEC_MAX_SIZE);
		if (rc)
			return rc;
		s->width[s->n_width++] = (int)list.v[i];
	}
	return 0;
}

int family_ints(struct spec_ints *out, int n)
{
	out->v = mem_alloc((size_t)n + 1, sizeof(*out->v));
	out->n = out->v ? n : 0;
	return out->v ? 0 : ERR_NOMEM;
}

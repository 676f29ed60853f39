/* The list of families, and the checks that they share. */
#include "graph/family.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "graph/families.h"

static const struct family_row *const built_in[] = {
    &family_mlp, &family_cnn, &family_resnet, &family_bag, &family_encoder, NULL};
static const struct family_row *const *in_use = built_in;

const struct family_row *const *family_list(void)
{
	return in_use;
}

void family_use(const struct family_row *const *rows)
{
	in_use = rows;
}

const struct family_row *family_find(const char *name)
{
	for (int i = 0; in_use[i]; i++)
		if (strcmp(in_use[i]->name, name) == 0)
			return in_use[i];
	return NULL;
}

void family_add_names(struct str *out)
{
	for (int i = 0; in_use[i]; i++)
		str_addf(out, "%s%s", i == 0 ? "" : in_use[i + 1] ? ", " : " or ", in_use[i]->name);
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

int family_dropout(enum err code, float rate)
{
	return rate >= 0 && rate < 1 ? 0 : err_set(code, "dropout is %g, must be in [0, 1)", (double)rate);
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

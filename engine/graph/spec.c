/* model_spec: copies, checks and the graph. What differs between families is in their rows; the JSON form is in
 * spec_json.c. */
#include "graph/spec.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "graph/family.h"
#include "graph/spec_impl.h"

const char *const input_kind_names[INPUT_KINDS] = {"images", "texts"};

static struct spec_ints *list_field(const struct model_spec *s, const struct spec_field *f)
{
	return (struct spec_ints *)((char *)s->own + f->offset);
}

void spec_clear(struct model_spec *s)
{
	const struct spec_field *f = s->own ? s->family->field : NULL;
	for (; f && f->key; f++)
		if (f->type == FIELD_INTS)
			mem_free(list_field(s, f)->v);
	mem_free(s->own);
	mem_free(s->width);
	*s = (struct model_spec){0};
}

/* A copy of n numbers that may be none. */
static int *copy_ints(const int *v, int n)
{
	int *copy = mem_alloc((size_t)n + 1, sizeof(*copy));
	if (copy && n > 0)
		memcpy(copy, v, (size_t)n * sizeof(*copy));
	return copy;
}

static int copy_own(struct model_spec *out, const struct model_spec *s)
{
	bool ok = true;
	out->own = mem_alloc(1, s->family->own_size + 1);
	if (!out->own)
		return ERR_NOMEM;
	memcpy(out->own, s->own, s->family->own_size);
	/* Every list is replaced, also after a failure, so that none is released twice. */
	for (const struct spec_field *f = s->family->field; f->key; f++) {
		if (f->type != FIELD_INTS)
			continue;
		struct spec_ints *list = list_field(out, f);
		list->v = ok ? copy_ints(list->v, list->n) : NULL;
		ok = ok && list->v;
	}
	return ok ? 0 : ERR_NOMEM;
}

int spec_copy(struct model_spec *out, const struct model_spec *s)
{
	*out = *s;
	out->own = NULL;
	out->width = copy_ints(s->width, s->n_width);
	int rc = !out->width ? ERR_NOMEM : s->family ? copy_own(out, s) : 0;
	if (rc)
		spec_clear(out);
	return rc;
}

static int check_input(const struct input_spec *s, enum err code)
{
	if (s->kind == INPUT_TEXT) {
		if (family_range(code, "vocabulary", -1, s->vocabulary, 1, SPEC_MAX_TOKENS) < 0 ||
		    family_range(code, "longest", -1, s->longest, 1, SPEC_MAX_TEXT) < 0)
			return code;
		return 0;
	}
	if (family_range(code, "height", -1, s->height, 1, SPEC_MAX_IMAGE) < 0 ||
	    family_range(code, "width", -1, s->width, 1, SPEC_MAX_IMAGE) < 0 ||
	    family_range(code, "channels", -1, s->channels, 1, 4) < 0)
		return code;
	return 0;
}

int spec_check_as(const struct model_spec *s, enum err code)
{
	if (!s->family || !s->own)
		return err_set(code, "the model has no family");
	if (s->input.kind != s->family->input)
		return err_set(code, "family %s takes %s, not %s", s->family->name, input_kind_names[s->family->input],
		    input_kind_names[s->input.kind]);
	const bool features = s->classes == 0 && s->family->without_classes;
	if ((!features && family_range(code, "classes", -1, s->classes, 2, SPEC_MAX_SIZE) < 0) ||
	    check_input(&s->input, code) < 0)
		return code;
	for (int i = 0; i < s->n_width; i++)
		if (family_range(code, "widths", i, s->width[i], 1, SPEC_MAX_SIZE) < 0)
			return code;
	return s->family->check(s, code);
}

int spec_check(const struct model_spec *s)
{
	return spec_check_as(s, ERR_CHECKPOINT);
}

const char *spec_family(const struct model_spec *s)
{
	return s->family->name;
}

const char *spec_width_name(const struct model_spec *s, int i, char buf[64])
{
	s->family->width_name(s, i, buf);
	return buf;
}

const char *input_text(const struct input_spec *s, char buf[96])
{
	if (s->kind == INPUT_TEXT)
		snprintf(buf, 96, "%stexts of up to %d of %" PRId64 " tokens", s->pairs ? "pairs of " : "", s->longest,
		    s->vocabulary);
	else
		snprintf(buf, 96, "%dx%dx%d images", s->height, s->width, s->channels);
	return buf;
}

bool input_equal(const struct input_spec *a, const struct input_spec *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == INPUT_TEXT)
		return a->vocabulary == b->vocabulary && a->longest == b->longest && a->pairs == b->pairs;
	return a->height == b->height && a->width == b->width && a->channels == b->channels;
}

int spec_build(struct graph *g, const struct model_spec *s, const struct build_shape *shape)
{
	graph_init(g);
	int rc = spec_check_as(s, ERR_FAIL);
	if (rc)
		return err_context(rc, "model");
	if (shape->sequences < 1 || (s->input.kind == INPUT_TEXT && shape->tokens < 1))
		return err_set(
		    ERR_FAIL, "model: a batch of %d sequences and %" PRId64 " tokens", shape->sequences, shape->tokens);
	struct builder b = {.g = g, .s = s, .shape = *shape};
	b.channels = (struct param_axis){.width = -1, .outer = 1, .inner = 1};
	s->family->build(&b);
	if (b.rc) {
		graph_clear(g);
		return b.rc;
	}
	g->output = b.x;
	return 0;
}

int spec_outputs(const struct model_spec *s, int *outputs)
{
	struct graph g;
	*outputs = s->classes;
	if (s->classes > 0)
		return 0;
	int rc = spec_build(&g, s, &shape_one);
	if (!rc)
		*outputs = (int)shape_inner(g.node[g.output].shape, 0);
	graph_clear(&g);
	return rc;
}

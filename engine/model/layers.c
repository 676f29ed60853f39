#include "model/layers.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "graph/family.h"
#include "model/units.h"

static int check_given(struct option_ints given, int n, int there)
{
	if (given.n != n)
		return err_set(ERR_CONFIG, "%d layers are listed for the %d of the student", given.n, n);
	for (int i = 0; i < n; i++) {
		if (given.v[i] < 0 || given.v[i] >= there)
			return err_set(ERR_CONFIG, "layer %lld of the teacher: it has layers 0 to %d",
			    (long long)given.v[i], there - 1);
		if (i > 0 && given.v[i] <= given.v[i - 1])
			return err_set(ERR_CONFIG, "layers must be listed in ascending order");
	}
	return 0;
}

/* The name of the teacher's param that the student's `name` begins with. */
static void name_source(const struct family_row *family, const char *name, const int *layer, char source[NODE_NAME])
{
	if (layer)
		family->layer_source(name, layer, source);
	else
		snprintf(source, NODE_NAME, "%s", name);
}

static int width_source(const struct family_row *family, int width, const int *layer)
{
	return layer ? family->layer_source_width(width, layer) : width;
}

static int check_widths(const struct model_spec *student, const struct model_spec *teacher, const int *layer)
{
	char name[64];
	for (int i = 0; i < student->n_width; i++) {
		const int there = teacher->width[width_source(student->family, i, layer)];
		if (student->width[i] > there)
			return err_set(ERR_CONFIG, "%s of the student has %d units, the teacher's layer only %d",
			    spec_width_name(student, i, name), student->width[i], there);
	}
	return 0;
}

int layers_map(int **out, int n, int there, struct option_ints given)
{
	*out = NULL;
	if (n > there)
		return err_set(ERR_CONFIG, "the student has %d layers, the teacher only %d", n, there);
	int rc = given.n ? check_given(given, n, there) : 0;
	int *layer = rc ? NULL : mem_alloc((size_t)n, sizeof(*layer));
	if (!layer)
		return rc ? rc : ERR_NOMEM;
	for (int i = 0; i < n; i++)
		layer[i] = given.n ? (int)given.v[i] : (i + 1) * there / n - 1;
	*out = layer;
	return 0;
}

int layers_choose(
    int **out, const struct model_spec *student, const struct model_spec *teacher, struct option_ints given)
{
	*out = NULL;
	if (student->family != teacher->family || !student->family->layers)
		return err_set(
		    ERR_CONFIG, "a %s cannot begin with layers of a %s", spec_family(student), spec_family(teacher));
	int *layer;
	int rc = layers_map(&layer, student->family->layers(student), student->family->layers(teacher), given);
	if (!rc)
		rc = check_widths(student, teacher, layer);
	if (rc)
		mem_free(layer);
	else
		*out = layer;
	return rc;
}

int layers_check_pruned(const struct model_spec *student, const struct model_spec *teacher)
{
	const struct family_row *family = student->family;
	if (family != teacher->family)
		return err_set(
		    ERR_CONFIG, "a %s cannot begin as a pruned %s", spec_family(student), spec_family(teacher));
	if (family->layers && family->layers(student) != family->layers(teacher))
		return err_set(ERR_CONFIG,
		    "a pruned teacher keeps its layers: the student has %d, the teacher %d; init: teacher_layers "
		    "leaves "
		    "some out",
		    family->layers(student), family->layers(teacher));
	if (student->n_width != teacher->n_width)
		return err_set(ERR_CONFIG,
		    "a pruned teacher keeps its layers: the student has %d widths, the teacher %d", student->n_width,
		    teacher->n_width);
	return check_widths(student, teacher, NULL);
}

static int check_vocabulary(const struct adapter *a, const struct adapter *b)
{
	if (a->coder && b->coder && strcmp(a->coder->vocabulary.sha256, b->coder->vocabulary.sha256) != 0)
		return err_set(ERR_CONFIG,
		    "the student has another vocabulary than the teacher (%d and %d tokens): rows of "
		    "its table would be those of other words",
		    a->coder->vocabulary.tokens, b->coder->vocabulary.tokens);
	return 0;
}

/* What the teacher has outside the layers that are left out, and the student has not, would be lost without a word. */
static int check_left(
    const struct graph *from, const struct graph *to, const struct model_spec *teacher, const int *layer)
{
	const int n = layer ? teacher->family->layers(teacher) : 1;
	int *next = mem_alloc((size_t)n, sizeof(*next));
	int rc = next ? 0 : ERR_NOMEM;
	for (int i = 0; next && i < n; i++)
		next[i] = i + 1;
	for (int i = 0; !rc && i < from->n; i++) {
		const char *name = from->node[i].name;
		char other[NODE_NAME];
		if (from->node[i].op != OP_PARAM)
			continue;
		name_source(teacher->family, name, layer ? next : NULL, other); /* another name: it is of a layer */
		if (strcmp(name, other) == 0 && graph_find(to, name) == NODE_NONE)
			rc = err_set(ERR_CONFIG, "the teacher has '%s', the student has not", name);
	}
	mem_free(next);
	return rc;
}

/* Axes that are widths may be cut (check_widths), if a unit is as many numbers in both; all others must be the same. */
static bool axis_fits(const struct node *to, const struct node *of, int d)
{
	const struct param_axis *here = &to->param.axis[d], *there = &of->param.axis[d];
	if (there->width < 0)
		return of->shape.dim[d] == to->shape.dim[d];
	return here->outer == there->outer && here->inner == there->inner;
}

static int check_param(
    const struct node *to, const struct graph *from, const struct family_row *family, const int *layer)
{
	char source[NODE_NAME], have[64], want[64];
	name_source(family, to->name, layer, source);
	const int node = graph_find(from, source);
	if (node == NODE_NONE)
		return err_set(ERR_CONFIG, "the teacher has no '%s', with which '%s' would begin", source, to->name);
	const struct node *of = &from->node[node];
	bool fits = of->shape.ndim == to->shape.ndim;
	for (int d = 0; fits && d < to->shape.ndim; d++)
		fits = axis_fits(to, of, d);
	return fits ? 0
		    : err_set(ERR_CONFIG,
			  "'%s' %s cannot begin with the teacher's '%s' %s: but for the number of layers, heads and "
			  "units, sizes (also head_size) must be the teacher's",
			  to->name, shape_text(to->shape, want), source, shape_text(of->shape, have));
}

int layers_check(const struct model_spec *student, const struct adapter *reads, const struct model_spec *teacher,
    const struct adapter *teacher_reads, const int *layer)
{
	struct graph from, to;
	graph_init(&from);
	graph_init(&to);
	int rc = check_vocabulary(reads, teacher_reads);
	if (!rc)
		rc = spec_build(&from, teacher, &shape_one);
	if (!rc)
		rc = spec_build(&to, student, &shape_one);
	for (int i = 0; !rc && i < to.n; i++)
		if (to.node[i].op == OP_PARAM)
			rc = check_param(&to.node[i], &from, student->family, layer);
	if (!rc)
		rc = check_left(&from, &to, teacher, layer);
	graph_clear(&from);
	graph_clear(&to);
	return rc;
}

static void differ(struct str *out, const char *key, const char *student, const char *teacher)
{
	if (strcmp(student, teacher) != 0)
		str_addf(out, "%s%s %s (the teacher's: %s)", out->len ? ", " : "", key, student, teacher);
}

static void differ_flag(struct str *out, const char *key, bool student, bool teacher)
{
	differ(out, key, student ? "true" : "false", teacher ? "true" : "false");
}

static void differ_text(struct str *out, const struct text_coder *student, const struct text_coder *teacher)
{
	const struct words *here = &student->wordpiece.words, *there = &teacher->wordpiece.words;
	differ_flag(out, "lowercase", here->options.lowercase, there->options.lowercase);
	differ_flag(out, "clean_text", here->options.clean_text, there->options.clean_text);
	differ_flag(
	    out, "handle_chinese_chars", here->options.handle_chinese_chars, there->options.handle_chinese_chars);
	differ_flag(out, "strip_accents", here->strip, there->strip);
}

void layers_differ(struct str *out, const struct model_spec *student, const struct adapter *reads,
    const struct model_spec *teacher, const struct adapter *teacher_reads)
{
	for (const struct spec_field *f = student->family->field; f && f->key; f++) {
		const void *here = (const char *)student->own + f->offset,
			   *there = (const char *)teacher->own + f->offset;
		char text[2][32];
		if (f->type == FIELD_CHOICE) {
			differ(out, f->key, f->choices[*(const int *)here], f->choices[*(const int *)there]);
		} else if (f->type == FIELD_FLOAT && strcmp(f->key, "eps") == 0) {
			/* The other numbers are of training. */
			snprintf(text[0], sizeof(text[0]), "%g", (double)*(const float *)here);
			snprintf(text[1], sizeof(text[1]), "%g", (double)*(const float *)there);
			differ(out, f->key, text[0], text[1]);
		}
	}
	if (reads->coder && teacher_reads->coder)
		differ_text(out, reads->coder, teacher_reads->coder);
}

/* Ranks what is cut, by the teacher's widths. */
static int choose_units(struct slice *keep, const struct graph *g, const struct model *student,
    const struct model *teacher, const int *layer)
{
	const struct model_spec *small = &student->ckpt.spec, *large = &teacher->ckpt.spec;
	int rc = slice_init(keep, large->n_width);
	for (int i = 0; !rc && i < small->n_width; i++) {
		const int there = width_source(small->family, i, layer);
		if (small->width[i] < large->width[there])
			rc = units_rank(
			    g, &teacher->params, UNITS_L2, there, large->width[there], small->width[i], keep);
	}
	return rc;
}

static int take(const struct node *to, const struct graph *from, const struct slice *keep, const struct model *teacher,
    const int *layer, struct model *student)
{
	char source[NODE_NAME];
	name_source(student->ckpt.spec.family, to->name, layer, source);
	/* It is there: layers_check has seen it. */
	return units_copy(&from->node[graph_find(from, source)], to, keep, &teacher->params, &student->params);
}

int layers_take(struct model *student, const struct model *teacher, const int *layer)
{
	struct slice keep = {0};
	struct graph from, to;
	graph_init(&from);
	graph_init(&to);
	int rc = layers_check(
	    &student->ckpt.spec, &student->ckpt.adapter, &teacher->ckpt.spec, &teacher->ckpt.adapter, layer);
	if (!rc)
		rc = spec_build(&from, &teacher->ckpt.spec, &shape_one);
	if (!rc)
		rc = spec_build(&to, &student->ckpt.spec, &shape_one);
	if (!rc)
		rc = choose_units(&keep, &from, student, teacher, layer);
	for (int i = 0; !rc && i < to.n; i++)
		if (to.node[i].op == OP_PARAM)
			rc = take(&to.node[i], &from, &keep, teacher, layer, student);
	slice_clear(&keep);
	graph_clear(&from);
	graph_clear(&to);
	return rc;
}

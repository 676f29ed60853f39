/* distill: a student from its spec, taught by a frozen teacher. Always by its logits (Hinton et al. 2015):
 *   loss = alpha * T^2 * KL(softmax(teacher / T) || softmax(student / T)) + (1 - alpha) * CE(student, labels)
 * T^2 keeps the soft part's gradient at the same size when T changes (their section 2). By `method`,
 * what layers compute is compared too (stages/kd.h). */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "graph/family.h"
#include "model/layers.h"
#include "stages/common.h"
#include "stages/few_samples.h"
#include "stages/fit.h"

enum { INIT_RANDOM, INIT_TEACHER_LAYERS, INIT_TEACHER_PRUNED };
static const char *const init_choices[] = {"random", "teacher_layers", "teacher_pruned", NULL};

struct distill_options {
	struct kd_options kd;
	int init; /* choice */
	struct option_ints init_layers;
	struct train_options train;
};

#define TEACHER_IS_QUANTIZED "init: teacher %s is quantized; a student begins with float weights"

#define AT(m) offsetof(struct distill_options, m)
static const struct option table[] = {KD_OPTION_ROWS(struct distill_options, kd, "method"),
    {.key = "init",
	.type = OPT_CHOICE,
	.offset = AT(init),
	.def = "random",
	.choices = init_choices,
	.help =
	    "weights that the student begins with; teacher_layers: those of chosen layers of the teacher, and of its "
	    "embeddings and classifier; where a width is smaller, of the units with the largest weights. "
	    "teacher_pruned: "
	    "those of all its layers, likewise, for models of any family"},
    {.key = "init_layers",
	.type = OPT_INTS,
	.offset = AT(init_layers),
	.min = 0,
	.max = 65535,
	.when = "init",
	.only = OPTION_BIT(INIT_TEACHER_LAYERS),
	.help = "the teacher's layer, from 0, for each of the student's; not given: evenly, the last one last"},
    TRAIN_OPTION_ROWS(struct distill_options, train, NULL, 0), OPTION_END};

static int check(const void *options, const struct model_spec *input_spec, const char **key)
{
	const struct distill_options *o = options;
	(void)input_spec;
	int rc = kd_options_check(&o->train, key);
	return rc ? rc : train_options_check(&o->train, key);
}

/* Which layers the student begins with, *layer NULL: all; whether it can. Of a run the teacher's spec and adapter are
 * its checkpoint's. */
static int choose_start(
    const struct stage_run *s, const struct model_spec *teacher, const struct adapter *reads, int **layer)
{
	const struct distill_options *o = s->options;
	int rc = o->init == INIT_TEACHER_PRUNED ? layers_check_pruned(s->spec, teacher)
						: layers_choose(layer, s->spec, teacher, o->init_layers);
	return rc ? rc : layers_check(s->spec, s->adapter, teacher, reads, *layer);
}

/* Defaults of a model are not its teacher's, and weights that mean something else are seen by nothing but figures. */
static int warn_of_differences(const struct stage_run *s, const struct model_spec *teacher, const struct adapter *reads)
{
	struct str what = {0};
	layers_differ(&what, s->spec, s->adapter, teacher, reads);
	const bool failed = what.failed;
	if (what.len)
		stage_line(s,
		    "warning: the student begins with weights that the teacher learned with other options: %s",
		    str_text(&what));
	str_clear(&what);
	return failed ? ERR_NOMEM : 0;
}

/* Masks of the teacher go with the weights: of what is cut off an unknown part. layer NULL: all layers. */
static int plan_masks(const struct stage_run *s, const int *layer, struct mask_forecast *out)
{
	struct graph g;
	char source[NODE_NAME];
	graph_init(&g);
	int rc = spec_build(&g, s->spec, &shape_one);
	for (int i = 0; !rc && s->teacher_masks && i < g.n; i++) {
		const struct node *p = &g.node[i];
		if (p->op != OP_PARAM)
			continue;
		snprintf(source, sizeof(source), "%s", p->name);
		if (layer)
			s->spec->family->layer_source(p->name, layer, source);
		const struct masked_param *from = mask_forecast_find(s->teacher_masks, source);
		const int64_t n = shape_count(p->shape);
		struct masked_param *to = from ? mask_forecast_add(out, p->name, n) : NULL;
		if (from && !to)
			rc = ERR_NOMEM;
		if (!to)
			continue;
		to->least = from->least > from->n - n ? from->least - (from->n - n) : 0;
		to->most = from->most < n ? from->most : n;
	}
	graph_clear(&g);
	return rc;
}

static int plan_start(const struct stage_run *s, struct mask_forecast *masks)
{
	const struct distill_options *o = s->options;
	int *layer = NULL;
	if (o->init == INIT_RANDOM)
		return s->pretrained_dir ? 0 : few_samples_warn(s);
	if (s->pretrained_dir)
		return err_set(ERR_CONFIG, "the student is pretrained; init cannot be %s too", init_choices[o->init]);
	if (s->teacher_values != VALUES_FLOAT)
		return err_set(ERR_CONFIG, TEACHER_IS_QUANTIZED, s->teacher_dir);
	int rc = choose_start(s, s->teacher_spec, s->teacher_adapter, &layer);
	if (!rc)
		rc = warn_of_differences(s, s->teacher_spec, s->teacher_adapter);
	if (!rc)
		rc = plan_masks(s, layer, masks);
	mem_free(layer);
	return rc;
}

static int plan(const struct stage_run *s, const struct model_spec *input_spec, struct stage_plan *out)
{
	const struct distill_options *o = s->options;
	(void)input_spec;
	int rc = plan_start(s, &out->masks);
	if (!rc)
		rc = fit_plan(s, s->spec, &(struct fit_job){.train = &o->train, .kd = &o->kd}, out);
	snprintf(out->text, sizeof(out->text),
	    "distill %s by %s for %" PRId64 " epochs, batch %" PRId64
	    ", temperature %g, alpha %g (the teacher's forward pass "
	    "comes on top)",
	    spec_family(s->spec), kd_method_names[o->kd.method], o->train.epochs, o->train.batch_size,
	    o->kd.temperature, o->kd.alpha);
	return rc;
}

static int start(const struct stage_run *s, struct model *student)
{
	const struct distill_options *o = s->options;
	struct model teacher = {0};
	int *layer = NULL;
	if (o->init == INIT_RANDOM)
		return s->pretrained_dir ? 0 : few_samples_warn(s);
	int rc = model_load(&teacher, s->teacher_dir, s->train_dev);
	if (!rc)
		rc = stage_check_planned(s, s->teacher_dir, &teacher.ckpt);
	if (!rc && teacher.ckpt.form != FORM_FLOAT)
		rc = err_set(ERR_CONFIG, TEACHER_IS_QUANTIZED, s->teacher_dir);
	if (!rc)
		rc = choose_start(s, &teacher.ckpt.spec, &teacher.ckpt.adapter, &layer);
	if (!rc)
		rc = warn_of_differences(s, &teacher.ckpt.spec, &teacher.ckpt.adapter);
	if (!rc)
		rc = layers_take(student, &teacher, layer);
	for (int i = 0; !rc && layer && i < s->spec->family->layers(s->spec); i++)
		stage_line(s, "layer %d begins with the teacher's layer %d", i, layer[i]);
	mem_free(layer);
	model_clear(&teacher);
	return rc;
}

static int run(struct stage_run *s)
{
	const struct distill_options *o = s->options;
	return fit_new_model(s, &(struct fit_new){.kind = "distill",
				    .technique = kd_technique(&o->kd),
				    .table = table,
				    .train = &o->train,
				    .kd = &o->kd,
				    .start = start});
}

static const struct transfer_options *transfer_of(const void *options)
{
	return &((const struct distill_options *)options)->kd.transfer;
}

const struct stage_kind stage_distill = {.name = "distill",
    .help = "trains a student on a teacher's logits, the labels and, by method, the teacher's layers",
    .table = table,
    .options_size = sizeof(struct distill_options),
    .trains = true,
    .ranks = STAGE_SHARES_STEPS,
    .makes_checkpoint = true,
    .needs_model = true,
    .teacher = {REF_ONE, REF_REQUIRED},
    .transfer = transfer_of,
    .check = check,
    .plan = plan,
    .run = run};

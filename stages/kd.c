/* Options of distillation, and which layers are compared. */
#include "stages/kd.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "model/layers.h"

const char *const kd_method_names[] = {"logit", "hidden", "attention", "relation", "multi_level", NULL};
const char *const kd_hidden_losses[] = {"mse", "cosine", NULL};
const char *const kd_attention_losses[] = {"mse", "kl", NULL};
const char *const kd_logits_names[] = {"auto", "once", "step", NULL};
static const enum distance hidden_distance[] = {DISTANCE_MSE, DISTANCE_COSINE},
			   attention_distance[] = {DISTANCE_MSE, DISTANCE_KL};

int kd_options_check(const struct train_options *o, const char **key)
{
	*key = "label_smoothing";
	if (o->label_smoothing > 0)
		return err_set(ERR_CONFIG,
		    "label_smoothing is not defined for the distillation loss, whose soft part already "
		    "spreads the target; it must be 0");
	*key = NULL;
	return 0;
}

int kd_task_check(const struct kd_options *kd, const struct task *task)
{
	if (kd->transfer.files.n > 0 && kd->method == KD_LOGIT && !(kd->alpha > 0))
		return err_set(ERR_CONFIG, "transfer has no effect with alpha 0: the texts have no labels");
	if (!(kd->gate > 0) || task_metric_find(task, task_metric_choices[kd->gate_metric]) != TASK_METRIC_UNKNOWN)
		return 0;
	return err_context(ERR_CONFIG, "gate_metric");
}

const char *kd_technique(const struct kd_options *kd)
{
	static const char *const name[KD_METHODS] = {[KD_LOGIT] = "vanilla_kd",
	    [KD_HIDDEN] = "hidden_kd",
	    [KD_ATTENTION] = "attention_kd",
	    [KD_RELATION] = "relation_kd",
	    [KD_MULTI_LEVEL] = "intermediate_kd"};
	return name[kd->method];
}

static bool has(const struct kd_options *kd, unsigned methods)
{
	return OPTION_BIT(kd->method) & methods;
}

/* Tokens are compared one by one, so both must see the same ones. */
static int check_adapters(const struct adapter *student, const struct adapter *teacher)
{
	char own[HASH_HEX], other[HASH_HEX];
	int rc = adapter_key(student, own);
	if (!rc)
		rc = adapter_key(teacher, other);
	if (rc || strcmp(own, other) == 0)
		return rc;
	return err_set(ERR_CONFIG,
	    "layers are compared token by token, but the teacher cuts texts in another way (another vocabulary or "
	    "`longest`)");
}

static int add_term(struct kd_terms *t, const struct layer_loss *term, const struct model_spec *student,
    const struct model_spec *teacher)
{
	struct layer_loss *item = mem_grow(t->item, (size_t)t->n, (size_t)t->n + 1, sizeof(*item));
	if (!item)
		return ERR_NOMEM;
	t->item = item;
	t->item[t->n] = *term;
	return layer_loss_make(&t->item[t->n++], student, teacher);
}

/* A term for each of the student's layers, of which the mean counts. */
static int add_mapped(struct kd_terms *t, struct layer_loss term, const int *layer, const struct model_spec *student,
    const struct model_spec *teacher)
{
	const int n = student->family->layers(student);
	int rc = 0;
	term.factor /= (float)n;
	for (int i = 0; !rc && i < n; i++) {
		term.layer = i;
		term.from = layer[i];
		rc = add_term(t, &term, student, teacher);
	}
	return rc;
}

static int add_layers(
    struct kd_terms *t, const struct kd_options *kd, const struct model_spec *student, const struct model_spec *teacher)
{
	const struct layer_loss hidden = {
	    .kind = LAYER_HIDDEN, .distance = hidden_distance[kd->hidden_loss], .factor = (float)kd->hidden_weight};
	const struct layer_loss attention = {.kind = LAYER_ATTENTION,
	    .distance = attention_distance[kd->attention_loss],
	    .factor = (float)kd->attention_weight};
	int *layer;
	int rc = layers_map(&layer, student->family->layers(student), teacher->family->layers(teacher), kd->layer_map);
	if (rc)
		return err_context(rc, "layer_map");
	if (has(kd, KD_OF_HIDDEN))
		rc = add_mapped(t, hidden, layer, student, teacher);
	if (!rc && has(kd, KD_OF_ATTENTION))
		rc = add_mapped(t, attention, layer, student, teacher);
	mem_free(layer);
	return rc;
}

static int add_relation(
    struct kd_terms *t, const struct kd_options *kd, const struct model_spec *student, const struct model_spec *teacher)
{
	const int there = teacher->family->layers(teacher);
	const struct layer_loss relation = {.kind = LAYER_RELATION,
	    .distance = DISTANCE_KL,
	    .factor = (float)kd->relation_weight,
	    .layer = student->family->layers(student) - 1,
	    .from = kd->relation_layer < 0 ? there - 1 : (int)kd->relation_layer,
	    .blocks = (int)kd->relation_heads};
	if (relation.from >= there)
		return err_set(ERR_CONFIG, "relation_layer: layer %d of the teacher: it has layers 0 to %d",
		    relation.from, there - 1);
	return add_term(t, &relation, student, teacher);
}

int kd_terms_make(struct kd_terms *out, const struct kd_options *kd, const struct model_spec *student,
    const struct adapter *student_adapter, const struct model_spec *teacher, const struct adapter *teacher_adapter)
{
	*out = (struct kd_terms){0};
	if (kd->method == KD_LOGIT)
		return 0;
	int rc = layer_loss_check_family(student);
	if (!rc)
		rc = layer_loss_check_family(teacher);
	if (!rc)
		rc = check_adapters(student_adapter, teacher_adapter);
	if (!rc)
		rc = kd->method == KD_RELATION ? add_relation(out, kd, student, teacher)
					       : add_layers(out, kd, student, teacher);
	if (rc)
		kd_terms_clear(out);
	return rc ? err_context(rc, "distillation by %s", kd_method_names[kd->method]) : 0;
}

void kd_terms_clear(struct kd_terms *t)
{
	mem_free(t->item);
	*t = (struct kd_terms){0};
}

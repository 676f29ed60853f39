/* The option table of prune, the ramp, and what contradicts what. */
#include <inttypes.h>
#include <math.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "stages/prune_fisher.h"

static const char *const methods[] = {"magnitude", "nm", "structured", "wanda", "fisher", "taylor", "movement", NULL};
const char *const prune_scope_names[] = {"auto", "global", "layer", "row", NULL};
const char *const prune_score_names[] = {"magnitude", "wanda", "taylor", "entropy", NULL};
static const char *const splits[] = {"auto", "train", "validation", NULL};
const char *const prune_scope_texts[] = {"", "globally", "per layer", "per output row"};

/* What the calibration options stand for where they are not given: as many samples as Wanda's users take. */
#define CALIBRATION_BATCHES 16
#define CALIBRATION_BATCH   32
static const char *const ramps[] = {"one_shot", "linear", "cubic", "exponential", NULL};
static const char *const norms[] = {"auto", "l1", "l2", NULL};

#define AT(field)     offsetof(struct prune_options, field)
#define TARGET(field) offsetof(struct prune_target, field)
#define UNITS         (OPTION_BIT(PRUNE_STRUCTURED) | OPTION_BIT(PRUNE_FISHER))
#define WEIGHTS       (OPTION_BIT(PRUNE_MAGNITUDE) | OPTION_BIT(PRUNE_WANDA) | OPTION_BIT(PRUNE_TAYLOR))
#define TARGETED      (WEIGHTS | OPTION_BIT(PRUNE_MOVEMENT))
#define CALIBRATED                                                                                                     \
	(OPTION_BIT(PRUNE_WANDA) | OPTION_BIT(PRUNE_TAYLOR) | OPTION_BIT(PRUNE_NM) | OPTION_BIT(PRUNE_STRUCTURED))
#define GRADUAL (OPTION_BIT(RAMP_LINEAR) | OPTION_BIT(RAMP_CUBIC) | OPTION_BIT(RAMP_EXPONENTIAL))

static const struct option target_table[] = {
    {.key = "latency_ms",
	.type = OPT_FLOAT,
	.offset = TARGET(latency_ms),
	.def = "0",
	.min = 0,
	.max = 1e6,
	.help = "milliseconds that a batch may take, as static INT8 on this machine with the threads of the run"},
    {.key = "batch",
	.type = OPT_INT,
	.offset = TARGET(batch),
	.def = "1",
	.min = 1,
	.max = 4096,
	.when = "latency_ms",
	.only = OPTION_POSITIVE,
	.help = "samples of that batch"},
    {.key = "tokens",
	.type = OPT_INT,
	.offset = TARGET(tokens),
	.def = "0",
	.min = 0,
	.max = 1048576,
	.when = "latency_ms",
	.only = OPTION_POSITIVE,
	.help = "tokens of each text; 0 = as many as the training texts have on average"},
    OPTION_END,
};

const struct option prune_option_table[] = {
    {.key = "method",
	.type = OPT_CHOICE,
	.offset = AT(method),
	.def = "magnitude",
	.choices = methods,
	.help = "magnitude: zero small weights; wanda: zero weights that are small times the norm of their input; "
		"taylor: zero weights that are small times the gradient of the loss; movement: zero weights that "
		"training moves to zero; nm: n of m stay; structured: "
		"remove channels, neurons and heads; fisher: remove heads and neurons that "
		"the loss misses least, which needs no training"},
    {.key = "scope",
	.type = OPT_CHOICE,
	.offset = AT(scope),
	.def = "auto",
	.choices = prune_scope_names,
	.when = "method",
	.only = TARGETED | OPTION_BIT(PRUNE_STRUCTURED),
	.help = "where weights compete: all of them, those of a layer, those of one output (auto: magnitude and "
		"taylor global, wanda row, movement and structured layer)"},
    {.key = "score",
	.type = OPT_CHOICE,
	.offset = AT(score),
	.def = "magnitude",
	.choices = prune_score_names,
	.when = "method",
	.only = OPTION_BIT(PRUNE_NM) | OPTION_BIT(PRUNE_STRUCTURED),
	.help =
	    "what is kept: large weights (of a unit: the norm of all that make it); nm: wanda, weights that are large "
	    "times the norm of their input; structured: taylor, units whose loss would be felt, by gradients; "
	    "entropy, heads that look at few tokens"},
    {.key = "sparsity",
	.type = OPT_FLOAT,
	.offset = AT(sparsity),
	.def = "0",
	.min = 0,
	.max = 0.999,
	.when = "method",
	.only = TARGETED | UNITS,
	.help = "share of weights (magnitude, wanda, taylor), of units of each width (structured), or of the "
		"multiply-adds of "
		"all layers with such units (fisher) that goes"},
    {.key = "ramp",
	.type = OPT_CHOICE,
	.offset = AT(ramp),
	.def = "one_shot",
	.choices = ramps,
	.when = "method",
	.only = OPTION_BIT(PRUNE_MAGNITUDE) | OPTION_BIT(PRUNE_MOVEMENT),
	.help = "course of the sparsity over the epochs"},
    {.key = "begin_epoch",
	.type = OPT_INT,
	.offset = AT(begin_epoch),
	.def = "0",
	.min = 0,
	.max = 100000,
	.when = "ramp",
	.only = GRADUAL,
	.help = "epochs before the ramp starts"},
    {.key = "end_epoch",
	.type = OPT_INT,
	.offset = AT(end_epoch),
	.def = "0",
	.min = 0,
	.max = 100000,
	.when = "ramp",
	.only = GRADUAL,
	.help = "epochs until the ramp reaches the sparsity; 0 = half of the epochs after begin_epoch"},
    {.key = "n",
	.type = OPT_INT,
	.offset = AT(n),
	.def = "2",
	.min = 1,
	.max = 63,
	.when = "method",
	.only = OPTION_BIT(PRUNE_NM),
	.help = "weights that stay in each group"},
    {.key = "m",
	.type = OPT_INT,
	.offset = AT(m),
	.def = "4",
	.min = 2,
	.max = 64,
	.when = "method",
	.only = OPTION_BIT(PRUNE_NM),
	.help = "consecutive inputs that form a group"},
    {.key = "norm",
	.type = OPT_CHOICE,
	.offset = AT(norm),
	.def = "auto",
	.choices = norms,
	.when = "method",
	.only = OPTION_BIT(PRUNE_STRUCTURED),
	.help = "norm of a unit's weights that ranks it (auto: l1)"},
    {.key = "round_to",
	.type = OPT_INT,
	.offset = AT(round_to),
	.def = "0",
	.min = 0,
	.max = 1024,
	.when = "method",
	.only = UNITS,
	.help = "widths stay multiples of this; 0 = 8 for widths of 32 and more (with target.latency_ms 64 for 512 and "
		"more), else 1"},
    {.key = "min_units",
	.type = OPT_INT,
	.offset = AT(min_units),
	.def = "1",
	.min = 1,
	.max = 65536,
	.when = "method",
	.only = UNITS,
	.help = "units that stay at least"},
    {.key = "iterations",
	.type = OPT_INT,
	.offset = AT(iterations),
	.def = "1",
	.min = 1,
	.max = PRUNE_ROUNDS,
	.when = "method",
	.only = WEIGHTS | OPTION_BIT(PRUNE_STRUCTURED),
	.help = "rounds in which the sparsity is reached, in equal steps; each ends with all epochs of fine-tuning"},
    {.key = "rewind",
	.type = OPT_BOOL,
	.offset = AT(rewind),
	.def = "false",
	.when = "method",
	.only = WEIGHTS,
	.help = "lottery ticket: after each round's masks the weights that are left become those again that the input "
		"has kept from an early epoch (rewind_epoch of train), and are trained from there; each round takes "
		"the same share of what is left"},
    {.key = "fisher_samples",
	.type = OPT_INT,
	.offset = AT(fisher_samples),
	.def = "1024",
	.min = 1,
	.max = 1000000,
	.when = "method",
	.only = OPTION_BIT(PRUNE_FISHER),
	.help = "samples of the training split whose gradients are looked at"},
    {.key = "target",
	.type = OPT_BLOCK,
	.offset = AT(target),
	.block = target_table,
	.when = "method",
	.only = OPTION_BIT(PRUNE_FISHER),
	.help = "in the place of sparsity: what the model may cost"},
    {.key = "rearrange",
	.type = OPT_BOOL,
	.offset = AT(rearrange),
	.def = "true",
	.when = "method",
	.only = OPTION_BIT(PRUNE_FISHER),
	.help = "look at the units of a layer together: exchange those whose gradients go with one another"},
    {.key = "tune",
	.type = OPT_BOOL,
	.offset = AT(tune),
	.def = "true",
	.when = "method",
	.only = OPTION_BIT(PRUNE_FISHER),
	.help = "scale the units that stay, layer by layer, so that its output is closest to what it was"},
    {.key = "embeddings",
	.type = OPT_BOOL,
	.offset = AT(embeddings),
	.def = "false",
	.when = "method",
	.only = OPTION_BIT(PRUNE_MAGNITUDE) | OPTION_BIT(PRUNE_NM),
	.help = "also the tables of embeddings"},
    {.key = "calibration_batches",
	.type = OPT_INT,
	.offset = AT(calibration_batches),
	.def = "0",
	.min = 0,
	.max = 1000000,
	.when = "method",
	.only = CALIBRATED,
	.help = "batches that scores are taken from, at most one pass over the split; 0 = 16"},
    {.key = "calibration_batch_size",
	.type = OPT_INT,
	.offset = AT(calibration_batch_size),
	.def = "0",
	.min = 0,
	.max = 65536,
	.when = "method",
	.only = CALIBRATED,
	.help = "samples per calibration batch; 0 = 32"},
    {.key = "calibration_split",
	.type = OPT_CHOICE,
	.offset = AT(calibration_split),
	.def = "auto",
	.choices = splits,
	.when = "method",
	.only = CALIBRATED,
	.help = "where they are from (auto: train); the test split is never used"},
    {.key = "exclude",
	.type = OPT_STRINGS,
	.offset = AT(exclude),
	.help = "patterns of layers (structured, fisher: widths) that are left alone, e.g. [conv1, fc*]"},
    ACCEPT_OPTION_ROW(struct prune_options, accept),
    {.key = "sensitivity_sparsity",
	.type = OPT_FLOATS,
	.offset = AT(sensitivity_sparsity),
	.min = 0.001,
	.max = 0.999,
	.when = "method",
	.only = WEIGHTS | OPTION_BIT(PRUNE_STRUCTURED),
	.help = "shares at which each layer (structured: each width) is pruned alone and measured on the validation "
		"split, without fine-tuning, into sensitivity.csv"},
    KD_OPTION_ROWS(struct prune_options, kd, "kd_method"),
    TRAIN_OPTION_ROWS_IF_EPOCHS(struct prune_options, train),
    OPTION_END,
};

bool prune_removes_units(const struct prune_options *o)
{
	return OPTION_BIT(o->method) & UNITS;
}

int prune_rounds(const struct prune_options *o)
{
	return o->iterations > 1 ? (int)o->iterations : 1;
}

double prune_share_from(const struct prune_options *o, double initial, int round)
{
	const int rounds = prune_rounds(o);
	if (o->rewind && round < rounds)
		return 1 - (1 - initial) * pow((1 - o->sparsity) / (1 - initial), (double)round / rounds);
	return initial + (o->sparsity - initial) * round / rounds;
}

double prune_share(const struct prune_options *o, int round)
{
	return prune_share_from(o, 0, round);
}

enum prune_scope prune_scope_of(const struct prune_options *o)
{
	if (o->scope != SCOPE_AUTO)
		return (enum prune_scope)o->scope;
	if (o->method == PRUNE_STRUCTURED || o->method == PRUNE_MOVEMENT)
		return SCOPE_LAYER;
	return o->method == PRUNE_WANDA ? SCOPE_ROW : SCOPE_GLOBAL;
}

enum prune_score prune_score_of(const struct prune_options *o)
{
	return o->method == PRUNE_WANDA    ? SCORE_WANDA
	       : o->method == PRUNE_TAYLOR ? SCORE_TAYLOR
					   : (enum prune_score)o->score;
}

bool prune_has_target(const struct prune_options *o)
{
	return OPTION_BIT(o->method) & TARGETED;
}

bool prune_is_calibrated(const struct prune_options *o)
{
	return prune_score_of(o) != SCORE_MAGNITUDE;
}

struct calibration_size prune_calibration_size(const struct prune_options *o, const struct dataset *d)
{
	const int64_t batch = o->calibration_batch_size > 0 ? o->calibration_batch_size : CALIBRATION_BATCH;
	const int64_t batches = o->calibration_batches > 0 ? o->calibration_batches : CALIBRATION_BATCHES;
	return calibration_size(d, o->calibration_split == 2 ? SPLIT_VAL : SPLIT_TRAIN, batch, batches);
}

void prune_ramp_epochs(const struct prune_options *o, int64_t *begin, int64_t *end)
{
	*begin = o->begin_epoch;
	*end = o->ramp == RAMP_ONE_SHOT ? 0 : o->end_epoch;
	if (o->ramp != RAMP_ONE_SHOT && *end == 0)
		*end = *begin + (o->train.epochs - *begin + 1) / 2;
}

double prune_ramp_at(const struct prune_options *o, double initial, int64_t epoch)
{
	int64_t begin, end;
	prune_ramp_epochs(o, &begin, &end);
	if (epoch >= end)
		return o->sparsity;
	if (epoch <= begin)
		return initial;
	double left = 1 - (double)(epoch - begin) / (double)(end - begin);
	switch ((enum prune_ramp)o->ramp) {
	case RAMP_EXPONENTIAL: /* the density falls by the same factor every epoch */
		return 1 - (1 - o->sparsity) * pow((1 - initial) / (1 - o->sparsity), left);
	case RAMP_CUBIC: /* Zhu and Gupta 2017, eq. 1 */
		return o->sparsity + (initial - o->sparsity) * left * left * left;
	case RAMP_LINEAR:
	case RAMP_ONE_SHOT:
		break;
	}
	return o->sparsity + (initial - o->sparsity) * left;
}

static int check_method(const struct prune_options *o, const char **key)
{
	bool nm = o->method == PRUNE_NM, units = o->method == PRUNE_STRUCTURED;
	*key = "scope";
	if (units && o->scope == SCOPE_ROW)
		return err_set(ERR_CONFIG, "structured pruning removes whole outputs: nothing competes within one");
	if (units && o->scope == SCOPE_GLOBAL)
		return err_set(ERR_CONFIG,
		    "structured pruning ranks units within their layer: with scope global the new widths "
		    "would depend on the weights, and nothing after this stage could be planned");
	*key = "score";
	if (nm && o->score > SCORE_WANDA)
		return err_set(ERR_CONFIG, "method nm scores weights: by magnitude or wanda, not by %s",
		    prune_score_names[o->score]);
	if (units && o->score == SCORE_WANDA)
		return err_set(ERR_CONFIG, "wanda scores weights; units are scored by magnitude, taylor or entropy");
	*key = "norm";
	if (units && o->score == SCORE_TAYLOR && o->norm != NORM_AUTO)
		return err_set(ERR_CONFIG, "norm has no effect with score taylor");
	*key = "sparsity";
	if (o->method == PRUNE_FISHER && o->sparsity > 0 && o->target.latency_ms > 0)
		return err_set(ERR_CONFIG, "sparsity and target.latency_ms both say how much goes; give one of them");
	if (!nm && !(o->sparsity > 0) && !(o->target.latency_ms > 0))
		return err_set(ERR_CONFIG, "method %s needs a sparsity above 0%s", methods[o->method],
		    o->method == PRUNE_FISHER ? ", or target.latency_ms" : "");
	*key = "n";
	if (nm && o->n >= o->m)
		return err_set(ERR_CONFIG, "n (%" PRId64 ") must be below m (%" PRId64 ")", o->n, o->m);
	return 0;
}

/* Whether they were given at all is what 0 and auto are for. */
static int check_calibration(const struct prune_options *o, const char **key)
{
	*key = o->calibration_batches ? "calibration_batches" : "calibration_batch_size";
	if (!o->calibration_batches && !o->calibration_batch_size)
		*key = "calibration_split";
	if (prune_is_calibrated(o) || (!o->calibration_batches && !o->calibration_batch_size && !o->calibration_split))
		return 0;
	return err_set(ERR_CONFIG, "%s has no effect with score %s", *key, prune_score_names[o->score]);
}

static int check_ramp(const struct prune_options *o, const char **key)
{
	int64_t begin, end;
	*key = "rewind";
	if (o->rewind && o->train.epochs == 0)
		return err_set(ERR_CONFIG, "weights that are rewound must be trained again: epochs is 0");
	*key = "ramp";
	if (o->ramp != RAMP_ONE_SHOT && (o->rewind || o->iterations > 1))
		return err_set(ERR_CONFIG, "a ramp and %s both say when weights go; give one of them",
		    o->iterations > 1 ? "iterations" : "rewind");
	if (o->method == PRUNE_MOVEMENT && o->ramp == RAMP_ONE_SHOT)
		return err_set(ERR_CONFIG,
		    "movement shows in training: method movement needs a ramp, which is linear, cubic or exponential");
	*key = "precision";
	if (o->method == PRUNE_MOVEMENT && o->train.precision == PRECISION_FP16)
		return err_set(ERR_CONFIG, "gradients under fp16 are scaled: method movement does not take it");
	*key = o->begin_epoch > 0 ? "begin_epoch" : "end_epoch";
	if (o->ramp == RAMP_ONE_SHOT)
		return 0;
	prune_ramp_epochs(o, &begin, &end);
	if (end <= begin)
		return err_set(
		    ERR_CONFIG, "the ramp ends at epoch %" PRId64 ", not after begin_epoch %" PRId64, end, begin);
	*key = "epochs";
	if (end >= o->train.epochs)
		return err_set(ERR_CONFIG,
		    "the ramp reaches its sparsity after %" PRId64 " epochs, so epochs (%" PRId64
		    ") must be more than that",
		    end, o->train.epochs);
	return 0;
}

static int check_judgement(const struct prune_options *o, const char **key)
{
	*key = "accept";
	if (accept_check_limits(&o->accept))
		return ERR_CONFIG;
	const struct option_floats *shares = &o->sensitivity_sparsity;
	*key = "sensitivity_sparsity";
	for (int i = 1; i < shares->n; i++)
		if (!(shares->v[i] > shares->v[i - 1]))
			return err_set(ERR_CONFIG, "sensitivity_sparsity must rise, found %g after %g", shares->v[i],
			    shares->v[i - 1]);
	return 0;
}

static int check_embeddings(const struct prune_options *o, const char **key)
{
	*key = "embeddings";
	if (o->embeddings && prune_is_calibrated(o))
		return err_set(ERR_CONFIG,
		    "a table of embeddings is looked up: nothing is multiplied that would have a "
		    "norm");
	return 0;
}

/* Every round removes something. */
static int check_rounds(const struct prune_options *o, const struct model_spec *spec, const char **key)
{
	const int rounds = prune_rounds(o);
	struct model_spec before = {0}, after = {0};
	int rc = spec_copy(&before, spec);
	for (int round = 1; !rc && round <= rounds; round++) {
		bool less = false;
		rc = prune_units_spec(o, spec, prune_share(o, round), &after);
		for (int i = 0; !rc && i < spec->n_width; i++)
			less |= after.width[i] < before.width[i];
		if (rc == ERR_CONFIG && round < rounds)
			*key = "iterations";
		if (!rc && round == rounds) {
			rc = prune_units_check(o, spec, &after);
			*key = rc ? "score" : *key;
		}
		if (!rc && !less) {
			*key = "iterations";
			rc = err_set(ERR_CONFIG,
			    "round %d of %d would remove nothing more; use fewer iterations or a smaller round_to",
			    round, rounds);
		}
		spec_clear(&before);
		before = after;
		after = (struct model_spec){0};
	}
	spec_clear(&before);
	return rc;
}

/* Key is "exclude" already. */
static int check_blocks(const struct prune_options *o, const struct model_spec *spec, const char **key)
{
	struct prune_blocks blocks = {0};
	bool *excluded = mem_alloc((size_t)spec->n_width + 1, sizeof(*excluded));
	int rc = excluded ? prune_excluded(o, spec, excluded) : ERR_NOMEM;
	mem_free(excluded);
	if (rc)
		return rc;
	*key = "target";
	if (o->target.tokens > 0 && spec->input.kind != INPUT_TEXT)
		return err_set(
		    ERR_CONFIG, "target.tokens has no effect on a model of %s", input_kind_names[spec->input.kind]);
	if (o->target.tokens > 0 && o->target.tokens > spec->input.longest)
		return err_set(ERR_CONFIG, "target.tokens is %" PRId64 ", the model takes texts of up to %d",
		    o->target.tokens, spec->input.longest);
	*key = "method";
	rc = prune_blocks_find(&blocks, o, spec);
	if (!rc && o->sparsity > 0) {
		/* How long texts are is not known yet: heads and the others weigh most at the ends of what is possible.
		 */
		const double one = prune_most_macs(&blocks, 1),
			     all = prune_most_macs(&blocks, spec->input.kind == INPUT_TEXT ? spec->input.longest : 0);
		*key = "sparsity";
		rc = prune_share_check(o->sparsity, one > all ? one : all);
	}
	prune_blocks_clear(&blocks);
	return rc;
}

/* Every excluded name exists, something is left, and groups fit. */
static int check_layers(const struct prune_options *o, const struct model_spec *spec, const char **key)
{
	struct prune_set set = {0};
	int rc;
	*key = "exclude";
	if (o->method == PRUNE_STRUCTURED)
		return check_rounds(o, spec, key);
	if (o->method == PRUNE_FISHER)
		return check_blocks(o, spec, key);
	rc = prune_set_init(&set, spec, o);
	for (int i = 0; !rc && o->method == PRUNE_NM && i < set.n; i++) {
		*key = "m";
		if (set.weight[i].row % o->m != 0)
			rc = err_set(ERR_CONFIG,
			    "layer '%s' has %" PRId64 " inputs, no multiple of m = %" PRId64
			    "; exclude it or choose another m",
			    set.weight[i].layer, set.weight[i].row, o->m);
	}
	prune_set_clear(&set);
	return rc;
}

int prune_options_check(const struct prune_options *o, const struct model_spec *spec, const char **key)
{
	int rc = check_method(o, key);
	if (!rc)
		rc = check_calibration(o, key);
	if (!rc)
		rc = check_embeddings(o, key);
	if (!rc)
		rc = check_judgement(o, key);
	if (!rc)
		rc = check_ramp(o, key);
	if (!rc)
		rc = check_layers(o, spec, key);
	return rc ? rc : train_options_check(&o->train, key);
}

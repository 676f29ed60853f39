/* federate: the stage: its options, what it plans, and its run. */
#include "stages/federate.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>

#include "base/err.h"
#include "graph/spec.h"
#include "stages/few_samples.h"

#define AT(m) offsetof(struct federate_options, m)
static const struct option table[] = {{.key = "clients",
					  .type = OPT_INT,
					  .offset = AT(clients),
					  .def = "10",
					  .min = 1,
					  .max = 100000,
					  .help = "parties that the training samples are dealt to"},
    {.key = "rounds",
	.type = OPT_INT,
	.offset = AT(rounds),
	.def = "5",
	.min = 1,
	.max = 100000,
	.help = "times that weights are sent, trained by clients and averaged"},
    {.key = "local_epochs",
	.type = OPT_INT,
	.offset = AT(local_epochs),
	.def = "2",
	.min = 1,
	.max = 10000,
	.help = "passes of a client over its samples in a round"},
    {.key = "fraction",
	.type = OPT_FLOAT,
	.offset = AT(fraction),
	.def = "1",
	.min = 0.00001,
	.max = 1,
	.help = "share of the clients that take part in a round, drawn for each; at least one does"},
    {.key = "split",
	.type = OPT_CHOICE,
	.offset = AT(division),
	.def = "iid",
	.choices = federate_divisions,
	.help = "iid: samples are dealt at random, in equal numbers; dirichlet: those of each class in shares of "
		"their own"},
    {.key = "dirichlet_alpha",
	.type = OPT_FLOAT,
	.offset = AT(alpha),
	.def = "0.5",
	.min = 0.001,
	.max = 1000000,
	.when = "split",
	.only = OPTION_BIT(DIVISION_DIRICHLET),
	.help = "the smaller, the fewer classes a client has most of its samples from"},
    {.key = "update_bits",
	.type = OPT_INT,
	.offset = AT(bits),
	.def = "32",
	.min = 1,
	.max = FLOAT_BITS,
	.help = "bits of each weight's change as a client sends it, 1 to 16, with error feedback; 32: weights as "
		"floats. Statistics of batch norm are always floats"},
    TRAIN_STEP_ROWS(struct federate_options, train, NULL, 0), OPTION_END};

static int check(const void *options, const struct model_spec *input_spec, const char **key)
{
	const struct federate_options *o = options;
	(void)input_spec;
	*key = "update_bits";
	if (o->bits > BITS_MOST && o->bits < FLOAT_BITS)
		return err_set(ERR_CONFIG, "update_bits is %" PRId64 "; it is 1 to %d, or %d for floats", o->bits,
		    BITS_MOST, FLOAT_BITS);
	*key = "fraction";
	if (o->clients == 1 && o->fraction < 1)
		return err_set(ERR_CONFIG, "fraction has no effect with one client");
	*key = "split";
	if (o->clients == 1 && o->division != DIVISION_IID)
		return err_set(ERR_CONFIG, "split has no effect with one client");
	return train_options_check(&o->train, key);
}

/* With all epochs of all rounds, over which the learning rate has its course. */
static struct federate_options resolved(const struct stage_run *s)
{
	struct federate_options o = *(const struct federate_options *)s->options;
	o.train.epochs = o.rounds * o.local_epochs;
	return o;
}

static int spec_params(struct federate_params *out, const struct model_spec *spec)
{
	struct graph g;
	int rc = spec_build(&g, spec, &shape_one);
	if (rc)
		return rc;
	rc = federate_params_make(out, &g);
	graph_clear(&g);
	return rc;
}

/* Says what there is to say about who has what. */
static void describe(const struct stage_run *s, const struct federate_options *o, const struct federate_split *split,
    int64_t *least, int64_t *most)
{
	int none = 0;
	*least = INT64_MAX;
	*most = 0;
	for (int k = 0; k < split->clients; k++) {
		const int64_t n = split->start[k + 1] - split->start[k];
		none += n < SAMPLES_MIN;
		*least = n < *least ? n : *least;
		*most = n > *most ? n : *most;
	}
	if (none)
		stage_line(s, "warning: %d of %d clients have fewer than %d samples and take no part", none,
		    split->clients, SAMPLES_MIN);
	if (*least < o->train.batch_size)
		stage_line(s,
		    "warning: batch_size %" PRId64 " is more than some clients have samples (the fewest %" PRId64
		    "); their batches are smaller",
		    o->train.batch_size, *least);
}

/* Of all training: rounds, the share of the clients, and the passes that judge the average. */
static double macs_of(const struct stage_run *s, const struct federate_options *o, double per_sample)
{
	const double train = (double)s->data->n[SPLIT_TRAIN], val = (double)s->data->n[SPLIT_VAL];
	return per_sample *
	       ((double)o->rounds * (3 * (double)o->local_epochs * o->fraction * train + train + val) + train);
}

static int plan_clients(const struct stage_run *s, const struct federate_options *o,
    const struct federate_params *params, struct stage_plan *out)
{
	struct federate_split split;
	const char *key = NULL;
	char last[FEDERATE_STREAM];
	int64_t least, most;
	int rc = federate_stream(s->name, (int)o->clients - 1, last);
	if (rc)
		return rc;
	rc = federate_split_make(&split, o, s->data, s->seed, s->name, &key);
	if (rc)
		return rc;
	describe(s, o, &split, &least, &most);
	snprintf(out->text, sizeof(out->text),
	    "federate %s over %d clients (%s, %" PRId64 " to %" PRId64 " samples), %" PRId64 " rounds of %" PRId64
	    " epochs, %d clients a round, batch %" PRId64 "; %.1f KiB up and %.1f KiB down per client and round%s%s",
	    spec_family(s->spec), split.clients, federate_divisions[o->division], least, most, o->rounds,
	    o->local_epochs, (int)fmin(fmax(1, (double)lround(o->fraction * split.clients)), split.able),
	    o->train.batch_size, (double)federate_bytes_up(params, (int)o->bits) / 1024,
	    (double)federate_bytes_down(params) / 1024, s->pretrained_dir ? ", beginning with the weights of " : "",
	    s->pretrained_dir ? s->pretrained_dir : "");
	federate_split_clear(&split);
	return 0;
}

static size_t host_bytes(
    const struct stage_run *s, const struct federate_options *o, const struct federate_params *params)
{
	return federate_host_bytes(o, params) + (s->ranks ? (size_t)params->values * sizeof(float) : 0);
}

static int plan(const struct stage_run *s, const struct model_spec *input_spec, struct stage_plan *out)
{
	const struct federate_options o = resolved(s);
	struct federate_params params;
	(void)input_spec;
	int rc = s->pretrained_dir ? 0 : few_samples_warn(s);
	if (rc)
		return rc;
	rc = spec_params(&params, s->spec);
	if (!rc)
		rc = plan_clients(s, &o, &params, out);
	if (!rc)
		rc = fit_plan(s, s->spec,
		    &(struct fit_job){.train = &o.train, .fit = federate_fit, .host_bytes = host_bytes(s, &o, &params)},
		    out);
	federate_params_clear(&params);
	/* of fit_plan, which counts whole epochs: 3 of training, 1 of validation each, and a last pass */
	const double n = (double)s->data->n[SPLIT_TRAIN], v = (double)s->data->n[SPLIT_VAL];
	const double counted = (double)o.train.epochs * (3 * n + v) + n;
	out->macs = macs_of(s, &o, out->macs / counted);
	return rc;
}

static int run(struct stage_run *s)
{
	const struct federate_options o = resolved(s);
	struct federation f = {.o = &o, .run = s};
	struct federate_params params;
	int rc = spec_params(&params, s->spec);
	if (rc)
		return rc;
	rc = s->pretrained_dir ? 0 : few_samples_warn(s);
	if (!rc)
		rc = fit_new_model(s, &(struct fit_new){.kind = "federate",
					  .technique = "fedavg",
					  .table = table,
					  .train = &o.train,
					  .fit = federate_fit,
					  .user = &f,
					  .host_bytes = host_bytes(s, &o, &params)});
	federate_params_clear(&params);
	return rc;
}

const struct stage_kind stage_federate = {.name = "federate",
    .help = "trains a model by federated averaging over simulated clients, each with samples of its own",
    .table = table,
    .options_size = sizeof(struct federate_options),
    .trains = true,
    .ranks = STAGE_SHARES_CLIENTS,
    .makes_checkpoint = true,
    .needs_model = true,
    .check = check,
    .plan = plan,
    .run = run};

/* federate: the rounds. */
#include "stages/federate.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
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

/* --- one client ----------------------------------------------------------------------------------------------------
 */

/* A client with fewer samples than a batch has a smaller one: as many of the micro-batches as it can fill. */
static struct train_options options_of(const struct federate_options *o, int64_t samples)
{
	struct train_options own = o->train;
	const int64_t micro = own.batch_size / own.accumulate;
	if (samples >= own.batch_size)
		return own;
	own.accumulate = samples >= micro ? samples / micro : 1;
	own.batch_size = samples >= micro ? own.accumulate * micro : samples;
	return own;
}

int federate_stream(const char *stage, int client, char name[FEDERATE_STREAM])
{
	const int n = client ? snprintf(name, FEDERATE_STREAM, "%s#%d", stage, client)
			     : snprintf(name, FEDERATE_STREAM, "%s", stage);
	return n < FEDERATE_STREAM
		   ? 0
		   : err_set(ERR_CONFIG, "stage name '%s' is too long for %d clients", stage, client + 1);
}

static int give(const struct federation *f, const float *values)
{
	int rc = 0;
	for (int i = 0; !rc && i < f->params.n; i++)
		rc = params_write(f->t->params, f->params.item[i].name, values + f->params.item[i].at);
	return rc;
}

static int take(const struct federation *f, float *values)
{
	int rc = 0;
	for (int i = 0; !rc && i < f->params.n; i++)
		rc = params_read(f->t->params, f->params.item[i].name, values + f->params.item[i].at);
	return rc;
}

static int train_client(struct federation *f, const struct encoding *samples, int client, double *loss)
{
	const int64_t first = f->split.start[client], n = f->split.start[client + 1] - first;
	const struct train_options own = options_of(f->o, n);
	const struct train_part part = {.samples = samples,
	    .sample = f->split.sample + first,
	    .n = n,
	    .first_epoch = f->done * f->o->local_epochs,
	    .end_epoch = (f->done + 1) * f->o->local_epochs};
	struct trainer t = *f->t;
	struct train_result r;
	char name[FEDERATE_STREAM];
	t.o = &own;
	t.part = &part;
	t.progress = NULL;
	t.log_path = t.resume_path = NULL;
	t.stage = name;
	int rc = federate_stream(f->t->stage, client, name);
	if (!rc)
		rc = give(f, f->global);
	if (!rc)
		rc = trainer_fit(&t, &r);
	if (rc)
		return rc == ERR_INTERRUPTED ? rc
					     : err_context(rc, "round %" PRId64 ", client %d", f->done + 1, client);
	*loss = r.train_loss;
	train_result_clear(&r);
	return take(f, f->client);
}

/* --- one round ---------------------------------------------------------------------------------------------------- */

static void show_client(const struct federation *f, int client, int of)
{
	struct progress *p = f->t->progress;
	char text[128];
	if (!p || !p->update)
		return;
	snprintf(text, sizeof(text), "round %" PRId64 "/%" PRId64 " client %d of %d", f->done + 1, f->o->rounds,
	    client + 1, of);
	p->update(p, text, (double)f->done + (double)client / of, (double)f->o->rounds);
}

static int64_t samples_of(const struct federation *f, int client)
{
	return f->split.start[client + 1] - f->split.start[client];
}

/* What a client that has trained sends. from: the rank that has its weights, and its loss. */
static int add_client(struct federation *f, int client, int from, double loss, double all, struct federate_round *out)
{
	const double share = (double)samples_of(f, client) / all;
	const int64_t batch = options_of(f->o, samples_of(f, client)).batch_size;
	const int64_t steps = f->o->local_epochs * ((samples_of(f, client) + batch - 1) / batch);
	int rc = federate_receive(f, from, &loss);
	if (rc || !federate_leads(f))
		return rc;
	federate_add(f, client, f->received ? f->received : f->client, share);
	f->steps += steps;
	f->trained_samples += steps * batch;
	out->loss += share * loss;
	return 0;
}

/* Trains the chosen clients from the `first` on, as many as train at a time. */
static int train_clients(
    struct federation *f, const struct encoding *samples, int first, int n, double all, struct federate_round *out)
{
	const int mine = first + (f->run->ranks ? f->run->ranks->me : 0);
	double loss = 0;
	show_client(f, first, n);
	int rc = mine < n ? train_client(f, samples, f->chosen[mine], &loss) : 0;
	rc = federate_meet(f, "clients of a round", f->done * f->o->clients + first, rc);
	for (int i = first; !rc && i < n && i < first + federate_at_once(f); i++)
		rc = add_client(f, f->chosen[i], i - first, loss, all, out);
	return rc;
}

/* Trains the chosen clients and averages what they send, in the order of their numbers. */
static int train_round(struct federation *f, const struct encoding *samples, struct federate_round *out)
{
	const double start = clock_now();
	const int n = federate_choose(&f->split, f->o->fraction, f->t->seed, f->t->stage, f->done, f->chosen);
	double all = 0;
	int rc = 0;
	for (int i = 0; i < n; i++)
		all += (double)samples_of(f, f->chosen[i]);
	for (int i = 0; !rc && i < n; i += federate_at_once(f))
		rc = train_clients(f, samples, i, n, all, out);
	if (rc || !federate_leads(f))
		return rc;
	federate_average(f);
	out->clients = n;
	out->bytes_up = n * federate_bytes_up(&f->params, (int)f->o->bits);
	out->bytes_down = n * federate_bytes_down(&f->params);
	f->train_seconds += clock_now() - start;
	return give(f, f->global);
}

static int measure(const struct federation *f, const struct encoding *e, struct metrics *m)
{
	const struct session_options o = {.batch = fit_validation_batch(e)};
	struct session s;
	int rc = metrics_init(m, f->t->task);
	if (rc)
		return rc;
	rc = session_open(&s, f->t->params, f->t->task->classes, f->t->build_eval, f->t->user, &o);
	if (!rc)
		rc = session_measure(&s, e, f->t->stop, m, NULL);
	session_close(&s);
	return rc;
}

static int keep_if_best(struct federation *f, const struct metrics *val, struct train_result *out)
{
	f->bad_rounds++;
	if (f->best_round &&
	    !metrics_better(val, &out->best, task_metric_find(f->t->task, task_metric_choices[f->o->train.monitor])))
		return 0;
	memcpy(f->best, f->global, (size_t)f->params.values * sizeof(*f->best));
	f->best_round = f->done;
	f->bad_rounds = 0;
	return metrics_copy(&out->best, val);
}

static void say_round(const struct federation *f, const struct federate_round *r)
{
	stage_line(f->run,
	    "round %" PRId64 "/%" PRId64 "  %" PRId64 " clients  train loss %.4f  val loss %.4f  %s %.4f  %.1f KiB up  "
	    "%.1f s%s",
	    f->done, f->o->rounds, r->clients, r->train_loss, r->val_loss, task_metric_name(f->t->task, f->figure),
	    r->val_figure, (double)r->bytes_up / 1024, r->seconds, f->best_round == f->done ? "  best" : "");
}

/* What the average is worth, on both splits. */
static int judge(struct federation *f, const struct encoding *train, const struct encoding *val,
    struct federate_round *r, struct train_result *out)
{
	struct metrics of_train = {0}, of_val = {0};
	int rc = measure(f, train, &of_train);
	if (!rc)
		rc = measure(f, val, &of_val);
	if (!rc) {
		r->train_loss = of_train.loss;
		r->train_figure = task_metric_value(&of_train, f->figure);
		r->val_loss = of_val.loss;
		r->val_figure = task_metric_value(&of_val, f->figure);
		f->done++;
		rc = keep_if_best(f, &of_val, out);
	}
	metrics_clear(&of_train);
	metrics_clear(&of_val);
	return rc;
}

/* As for a training: what cannot be written is no reason to end what it is the state of. */
static int keep_state(struct federation *f, const struct train_result *out)
{
	if (!f->run->resume_path || clock_now() - f->saved < RESUME_END_SECONDS)
		return 0;
	int rc = federate_save(f, out);
	f->saved = clock_now();
	if (!rc)
		f->kept = f->done;
	if (rc != ERR_IO)
		return rc;
	stage_line(f->run, "warning: %s; the training goes on", err_message());
	return 0;
}

/* The clients that have trained in this round have changed what they keep: there is no state but those of whole rounds.
 */
static int interrupted(const struct federation *f)
{
	if (!f->kept)
		return err_set(ERR_INTERRUPTED, "interrupted in round %" PRId64, f->done + 1);
	return err_set(ERR_INTERRUPTED, "interrupted in round %" PRId64 "; the same run goes on after round %" PRId64,
	    f->done + 1, f->kept);
}

static int run_round(
    struct federation *f, const struct encoding *train, const struct encoding *val, struct train_result *out)
{
	const double start = clock_now();
	struct federate_round r = {0};
	int rc = train_round(f, train, &r);
	if (!rc && federate_leads(f))
		rc = judge(f, train, val, &r, out);
	rc = federate_share(f, "the end of a round", rc);
	if (rc == ERR_INTERRUPTED)
		return interrupted(f);
	if (rc || !federate_leads(f))
		return rc;
	r.seconds = clock_now() - start;
	f->round[f->done - 1] = r;
	out->train_loss = r.loss;
	say_round(f, &r);
	return keep_state(f, out);
}

/* --- all rounds --------------------------------------------------------------------------------------------------- */

static int read_masks(struct federation *f)
{
	bool any = false;
	for (int i = 0; i < f->params.n; i++) {
		const struct param *p = params_find(f->t->params, f->params.item[i].name);
		any = any || (p && p->mask);
	}
	if (!any)
		return 0;
	f->mask = mem_alloc((size_t)f->params.trained, sizeof(*f->mask));
	int rc = f->mask ? 0 : ERR_NOMEM;
	for (int i = 0; !rc && i < f->params.n && f->params.item[i].trained; i++)
		rc = params_get_mask(f->t->params, f->params.item[i].name, f->mask + f->params.item[i].at);
	return rc;
}

static int find_params(struct federate_params *out, graph_builder build, void *user)
{
	struct graph g;
	graph_init(&g);
	int rc = build(user, &shape_one, &g);
	if (!rc)
		rc = federate_params_make(out, &g);
	graph_clear(&g);
	return rc;
}

static int begin(struct federation *f)
{
	const struct federate_options *o = f->o;
	int rc = find_params(&f->params, f->t->build_train, f->t->user);
	if (!rc)
		rc = federate_split_make(&f->split, o, f->t->data, f->t->seed, f->t->stage, NULL);
	if (rc)
		return rc;
	const size_t values = (size_t)f->params.values;
	f->global = mem_alloc(values, sizeof(*f->global));
	f->client = mem_alloc(values, sizeof(*f->client));
	f->best = mem_alloc(values, sizeof(*f->best));
	f->sum = mem_alloc(values, sizeof(*f->sum));
	f->chosen = mem_alloc((size_t)o->clients, sizeof(*f->chosen));
	f->round = mem_alloc((size_t)o->rounds, sizeof(*f->round));
	const bool errors = o->bits < FLOAT_BITS && federate_leads(f);
	if (errors)
		f->error = mem_alloc((size_t)o->clients * (size_t)f->params.trained, sizeof(*f->error));
	if (!f->global || !f->client || !f->best || !f->sum || !f->chosen || !f->round || (errors && !f->error))
		return ERR_NOMEM;
	f->figure = f->t->task->primary;
	rc = read_masks(f);
	return rc ? rc : take(f, f->global);
}

static void end(struct federation *f)
{
	federate_split_clear(&f->split);
	federate_params_clear(&f->params);
	mem_free(f->global);
	mem_free(f->client);
	mem_free(f->received);
	mem_free(f->best);
	mem_free(f->sum);
	mem_free(f->error);
	mem_free(f->mask);
	mem_free(f->chosen);
	mem_free(f->round);
}

static int go_on(struct federation *f, struct train_result *out)
{
	int rc = federate_leads(f) ? federate_load(f, out) : 0;
	const int found = rc > 0;
	rc = federate_share(f, "the state of a federation", rc < 0 ? rc : 0);
	if (rc || !found)
		return rc;
	f->kept = f->done;
	stage_line(f->run, "going on after round %" PRId64 " of %" PRId64, f->done, f->o->rounds);
	return give(f, f->global);
}

static int run_rounds(
    struct federation *f, const struct encoding *train, const struct encoding *val, struct train_result *out)
{
	const struct federate_options *o = f->o;
	FILE *csv = NULL;
	int rc = go_on(f, out);
	if (!rc && federate_leads(f))
		rc = federate_log_begin(f, &csv);
	while (!rc && f->done < o->rounds && !(o->train.patience > 0 && f->bad_rounds >= o->train.patience)) {
		rc = run_round(f, train, val, out);
		if (!rc && federate_leads(f))
			rc = federate_log_round(f, csv);
	}
	if (csv)
		fclose(csv);
	if (!rc && !federate_leads(f))
		return ERR_LEFT;
	if (!rc)
		rc = give(f, f->best);
	return rc ? rc : federate_report(f);
}

static void fill_result(const struct federation *f, const struct fit_memory *m, struct train_result *out)
{
	out->epochs_run = f->done * f->o->local_epochs;
	out->best_epoch = f->best_round * f->o->local_epochs;
	out->steps = f->steps;
	out->precision = f->o->train.precision;
	out->seconds = f->earlier_seconds + clock_now() - f->start;
	out->earlier_seconds = f->earlier_seconds;
	out->samples_per_second = f->train_seconds > 0 ? (double)f->trained_samples / f->train_seconds : 0;
	out->memory = m->training + m->validation;
	out->resumed = f->resumed;
}

/* In the place of trainer_fit. */
static int fit(void *user, const struct trainer *planned, struct train_result *out)
{
	struct federation *f = user;
	const int micro = (int)(f->o->train.batch_size / f->o->train.accumulate);
	struct encoding train = {0}, val = {0};
	struct fit_memory memory;
	*out = (struct train_result){0};
	f->t = planned;
	f->start = f->saved = clock_now();
	int rc = encoding_open(&train, planned->adapter, planned->data, SPLIT_TRAIN);
	if (!rc)
		rc = encoding_open(&val, planned->adapter, planned->data, SPLIT_VAL);
	if (!rc) {
		fit_note_samples(planned, &train);
		fit_note_samples(planned, &val);
		rc = fit_check_norms(planned, micro, &train);
	}
	if (!rc)
		rc = fit_memory_plan(planned, micro, &train, &val, &memory);
	if (!rc)
		rc = fit_memory_check(planned, &train, &val, &memory);
	if (!rc)
		rc = begin(f);
	rc = federate_meet(f, "the beginning of a federation", 0, rc);
	if (!rc)
		rc = run_rounds(f, &train, &val, out);
	if (!rc)
		fill_result(f, &memory, out);
	end(f);
	encoding_close(&train);
	encoding_close(&val);
	if (rc)
		train_result_clear(out);
	return rc;
}

/* --- the stage ---------------------------------------------------------------------------------------------------- */

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
		rc = fit_plan(
		    s, s->spec, &(struct fit_job){.train = &o.train, .host_bytes = host_bytes(s, &o, &params)}, out);
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
					  .fit = fit,
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

/* federate: the rounds, in the place of a training's epochs. */
#include "stages/federate.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

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

int federate_fit(void *user, const struct trainer *planned, struct train_result *out)
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

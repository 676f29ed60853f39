/* What a federation leaves in files beside the weights. Figures that are called test_* are those of the validation
 * split: a training does not open the test split, and the files say so. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json_out.h"
#include "stages/federate.h"

static const char *figure_name(const struct federation *f)
{
	return task_metric_name(f->t->task, f->figure);
}

static int put_row(const struct federation *f, FILE *csv, int64_t i)
{
	const struct federate_round *r = &f->round[i];
	int n = fprintf(csv, "%" PRId64 ",%.9g,%.6f,%.9g,%.6f,%.9g,%" PRId64 ",%" PRId64 ",%" PRId64 ",%.3f\n", i + 1,
	    r->train_loss, r->train_figure, r->val_loss, r->val_figure, r->loss, r->clients, r->bytes_up, r->bytes_down,
	    r->seconds);
	if (n >= 0 && !fflush(csv))
		return 0;
	return err_set(ERR_IO, "%s: %s", f->t->log_path, strerror(errno));
}

int federate_log_begin(const struct federation *f, FILE **csv)
{
	const char *name = figure_name(f);
	*csv = fopen(f->t->log_path, "w");
	if (!*csv ||
	    fprintf(*csv,
		"round,train_loss,train_%s,test_loss,test_%s,client_loss,clients,bytes_up,bytes_down,seconds\n", name,
		name) < 0)
		return err_set(ERR_IO, "%s: %s", f->t->log_path, strerror(errno));
	int rc = 0;
	for (int64_t i = 0; !rc && i < f->done; i++)
		rc = put_row(f, *csv, i);
	return rc;
}

int federate_log_round(const struct federation *f, FILE *csv)
{
	return put_row(f, csv, f->done - 1);
}

static void put_figure(struct json_out out, const char *split, const char *name, double v)
{
	char key[64];
	snprintf(key, sizeof(key), "%s_%s", split, name);
	json_out_number(out, key, v);
}

static void put_rounds(const struct federation *f, struct json_out out)
{
	struct json_out list = json_out_list(out, "results_per_round");
	for (int64_t i = 0; i < f->done; i++) {
		const struct federate_round *r = &f->round[i];
		struct json_out row = json_out_object(list, NULL);
		json_out_number(row, "round", (double)(i + 1));
		json_out_number(row, "train_loss", r->train_loss);
		put_figure(row, "train", figure_name(f), r->train_figure);
		json_out_number(row, "test_loss", r->val_loss);
		put_figure(row, "test", figure_name(f), r->val_figure);
		json_out_number(row, "client_loss", r->loss);
		json_out_number(row, "clients", (double)r->clients);
		json_out_number(row, "bytes_up", (double)r->bytes_up);
		json_out_number(row, "bytes_down", (double)r->bytes_down);
		json_out_number(row, "seconds", r->seconds);
	}
}

static void put_bytes(const struct federation *f, struct json_out out)
{
	const int bits = (int)f->o->bits;
	const double up = (double)federate_bytes_up(&f->params, bits);
	const double floats = (double)federate_bytes_up(&f->params, FLOAT_BITS);
	double all_up = 0, all_down = 0;
	for (int64_t i = 0; i < f->done; i++) {
		all_up += (double)f->round[i].bytes_up;
		all_down += (double)f->round[i].bytes_down;
	}
	json_out_number(out, "update_bits", bits);
	json_out_bool(out, "error_feedback", bits < FLOAT_BITS);
	json_out_number(out, "update_bytes", up);
	json_out_number(out, "update_bytes_fp32", floats);
	json_out_number(out, "compression_ratio", floats / up);
	json_out_number(out, "total_bytes_up", all_up);
	json_out_number(out, "total_bytes_down", all_down);
}

static int write_results(const struct federation *f)
{
	const struct federate_round *last = &f->round[f->done - 1];
	char now[32];
	bool ok;
	struct json_out out = json_out_begin(&ok);
	clock_utc(now);
	json_out_number(out, "bit_width", (double)f->o->bits);
	json_out_number(out, "num_rounds", (double)f->o->rounds);
	json_out_number(out, "fraction_train", f->o->fraction);
	json_out_number(out, "local_epochs", (double)f->o->local_epochs);
	json_out_number(out, "batch_size", (double)f->o->train.batch_size);
	json_out_number(out, "learning_rate", f->o->train.lr);
	json_out_number(out, "training_time_seconds", f->earlier_seconds + clock_now() - f->start);
	json_out_text(out, "metric", figure_name(f));
	json_out_text(out, "test_split", split_names[SPLIT_VAL]);
	put_figure(out, "final_test", figure_name(f), last->val_figure);
	json_out_number(out, "final_test_loss", last->val_loss);
	json_out_number(out, "best_round", (double)f->best_round);
	put_rounds(f, out);
	put_bytes(f, json_out_object(out, "compression_metrics"));
	json_out_text(out, "timestamp", now);
	return stage_write_json(f->run->out_dir, "training_results.json", out);
}

static void put_samples(const struct federation *f, struct json_out out)
{
	struct json_out list = json_out_list(out, "samples");
	for (int k = 0; k < f->split.clients; k++)
		json_out_number(list, NULL, (double)(f->split.start[k + 1] - f->split.start[k]));
}

int federate_report(const struct federation *f)
{
	bool ok;
	struct json_out info = json_out_into(f->run->info, &ok), out = json_out_object(info, "federation");
	json_out_number(out, "clients", (double)f->o->clients);
	json_out_number(out, "rounds_run", (double)f->done);
	json_out_number(out, "best_round", (double)f->best_round);
	json_out_text(out, "split", federate_divisions[f->o->division]);
	put_samples(f, out);
	json_out_text(out, "weighted_by", "samples");
	json_out_text(out, "batch_norm_statistics", "averaged");
	put_bytes(f, out);
	int rc = json_out_check(info);
	return rc ? rc : write_results(f);
}

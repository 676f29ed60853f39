/* pipeline verify RUN | CHECKPOINT: whether what was made comes out again. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/json_out.h"
#include "config/number.h"
#include "model/conformance.h"
#include "pipeline/command.h"
#include "pipeline/files.h"
#include "pipeline/registry.h"
#include "pipeline/verify.h"

static void print_conformance(const char *dir, const struct checkpoint *c, const struct conformance *r)
{
	if (!conformance_applies(c))
		printf("%s: computes with real numbers, which CPUs round differently: nothing exact to compare\n", dir);
	else if (!r->kept)
		printf("%s: keeps no inputs and outputs (%s): nothing to compare\n", dir, CONFORMANCE_FILE);
	else if (!r->first[0] && !r->logits_differ)
		printf("%s: equal: %d values of the graph and the logits, for %d inputs\n", dir, r->values, r->samples);
}

static int judge_conformance(const char *dir, const struct checkpoint *c, const struct conformance *r)
{
	if (!conformance_applies(c) || !r->kept || (!r->first[0] && !r->logits_differ))
		return 0;
	if (!r->first[0])
		return err_set(
		    ERR_GATE, "%s: all layers are equal, but not the logits: by up to %.3g", dir, r->largest);
	return err_set(ERR_GATE,
	    "%s: the first that differs is '%s' (%s%s); %d of %d values differ, logits by up to %.3g", dir, r->first,
	    r->op, r->first_is_real ? ", in FP32, which CPUs may round differently" : "", r->different, r->values,
	    r->largest);
}

/* What print_conformance says in words. */
static int list_conformance(const char *dir, const struct checkpoint *c, const struct conformance *r)
{
	const bool applies = conformance_applies(c) && r->kept;
	bool ok;
	cJSON *json;
	struct json_out o = json_out_begin(&ok);
	json_out_text(o, "checkpoint", dir);
	json_out_text(o, "verdict",
	    !applies                          ? "nothing to compare"
	    : r->first[0] || r->logits_differ ? "differs"
					      : "equal");
	if (applies) {
		json_out_number(o, "inputs", r->samples);
		json_out_number(o, "values", r->values);
		json_out_number(o, "different", r->different);
		json_out_text(o, "first", r->first[0] ? r->first : NULL);
		json_out_number(o, "largest_logit_difference", r->largest);
	}
	int rc = json_out_end(o, &json);
	return rc ? rc : command_print_json(json);
}

static int verify_checkpoint(const char *dir, bool json)
{
	struct model m = {0};
	struct device dev = {0};
	struct conformance r = {0};
	int rc = registry_backend("cpu", &dev.backend);
	if (!rc)
		rc = dev.backend->open(&dev.ctx, &(struct open_options){.threads = 1});
	if (rc)
		return rc;
	rc = model_load(&m, dir, dev);
	if (!rc)
		rc = conformance_check(&r, &m, dir);
	if (!rc && json)
		rc = list_conformance(dir, &m.ckpt, &r);
	else if (!rc)
		print_conformance(dir, &m.ckpt, &r);
	if (!rc)
		rc = judge_conformance(dir, &m.ckpt, &r);
	model_clear(&m);
	dev.backend->close(dev.ctx);
	return rc;
}

/* Without --out the scratch folder goes again. */
static int verify_in(struct verify_options *o, const char *out)
{
	char folder[1024];
	command_catch_signals(false);
	if (out) {
		if (fs_exists(out))
			return err_set(ERR_CONFIG, "verify: %s exists; nothing is overwritten", out);
		int rc = fs_mkdirs(out);
		o->scratch = out;
		return rc ? rc : verify_run(o, &command_stop);
	}
	int rc = files_temporary(folder, sizeof(folder));
	if (rc)
		return rc;
	o->scratch = folder;
	return files_clear_away(folder, verify_run(o, &command_stop));
}

static int verify_list(struct verify_options *o, const char *out)
{
	bool ok = true;
	cJSON *json = cJSON_CreateObject();
	struct json_out root = json_out_into(json, &ok);
	json_out_text(root, "run", o->run);
	o->list = json_out_list(root, "stages").at;
	int rc = ok ? verify_in(o, out) : err_set(ERR_NOMEM, "out of memory");
	if (rc && rc != ERR_GATE) {
		cJSON_Delete(json);
		return rc;
	}
	const int printed = command_print_json(json);
	return printed ? printed : rc;
}

static bool is_run(const char *path)
{
	char file[1024];
	return fs_join(file, sizeof(file), path, "run.json") == 0 && fs_exists(file);
}

static int read_tolerance(const char *text, double *out)
{
	const char *why = number_float(text, out);
	if (!why && *out >= 0 && *out <= 100)
		return 0;
	return err_set(ERR_CONFIG, "--tolerance must be a number in 0..100, found '%s'", text);
}

int cmd_verify(int argc, char **argv)
{
	static const struct flag flags[] = {
	    {"stage", true, 's'}, {"tolerance", true, 't'}, {"out", true, 'o'}, {"json", false, 'j'}, {NULL, false, 0}};
	struct verify_options o = {.tolerance = 1};
	const char *out = NULL, *given = NULL;
	bool json = false;
	struct args args;
	int id, rc = 0;
	args_init(&args, flags, argc, argv);
	while (!rc && (id = args_next(&args)) != 0) {
		if (id < 0)
			return id;
		json |= id == 'j';
		given = given || id == 'j' ? given : id == 's' ? "--stage" : id == 't' ? "--tolerance" : "--out";
		o.stage = id == 's' ? args.value : o.stage;
		out = id == 'o' ? args.value : out;
		if (id == 't')
			rc = read_tolerance(args.value, &o.tolerance);
	}
	if (!rc)
		rc = args_count(&args, 1, 1, "RUN or CHECKPOINT");
	if (rc)
		return rc;
	o.run = args.positional[0];
	if (is_run(o.run))
		return json ? verify_list(&o, out) : verify_in(&o, out);
	if (given)
		return err_set(ERR_CONFIG, "verify: %s is of runs; %s is none", given, o.run);
	return verify_checkpoint(o.run, json);
}

/* pipeline import: a model of another program becomes a checkpoint; pipeline export: the way back. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json_out.h"
#include "base/str.h"
#include "exchange/hf.h"
#include "pipeline/command.h"
#include "pipeline/version.h"

static const char *const poolings[] = {"auto", "cls", "mean"}; /* enum hf_pooling */

static int read_pooling(const char *word, enum hf_pooling *out)
{
	for (int i = 0; i < 3; i++)
		if (strcmp(word, poolings[i]) == 0) {
			*out = (enum hf_pooling)i;
			return 0;
		}
	return err_set(ERR_CONFIG, "--pooling must be auto, cls or mean, found '%s'", word);
}

static int add_origin(struct checkpoint *c)
{
	char now[32];
	bool ok;
	struct json_out out = json_out_into(c->info, &ok);
	clock_utc(now);
	json_out_text(out, "program_version", program_version);
	json_out_text(out, "program_commit", program_commit);
	json_out_text(out, "timestamp", now);
	return json_out_check(out);
}

static void print_model(const struct checkpoint *c, const char *from, const char *to)
{
	char takes[160], output[64];
	c->adapter.kind->describe(&c->adapter, takes);
	snprintf(output, sizeof(output), c->spec.classes > 0 ? "%d classes" : "no classifier", c->spec.classes);
	printf("%s: %s, %d layers, %s -> %s\n", from, spec_family(&c->spec), c->spec.n_width / 2, output, to);
	printf("takes %s\n", takes);
}

static int import(const char *from, const char *to, const struct hf_import_options *o)
{
	struct checkpoint c;
	struct str notes = {0};
	if (fs_exists(to))
		return err_set(ERR_CONFIG, "%s is there already; import writes a new folder", to);
	int rc = hf_import(&c, from, o, &notes);
	if (rc) {
		str_clear(&notes);
		return rc;
	}
	rc = add_origin(&c);
	if (!rc && (rc = checkpoint_save(&c, to)) != 0)
		rc = fs_undo(to, rc);
	if (!rc)
		print_model(&c, from, to);
	if (!rc && notes.len)
		fputs(str_text(&notes), stdout);
	str_clear(&notes);
	checkpoint_clear(&c);
	return rc;
}

int cmd_import(int argc, char **argv)
{
	static const struct flag flags[] = {
	    {"out", true, 'o'}, {"pooling", true, 'p'}, {"longest", true, 'l'}, {"pairs", false, 'b'}, {0}};
	struct hf_import_options o = {0};
	const char *to = NULL;
	struct args a;
	long number;
	int id, rc = 0;
	args_init(&a, flags, argc, argv);
	while (!rc && (id = args_next(&a)) != 0) {
		if (id < 0)
			rc = id;
		else if (id == 'o')
			to = a.value;
		else if (id == 'p')
			rc = read_pooling(a.value, &o.pooling);
		else if (id == 'b')
			o.pairs = true;
		else if (!(rc = args_number("--longest", a.value, 3, 65536, &number)))
			o.longest = (int)number;
	}
	if (!rc)
		rc = args_count(&a, 1, 1, "the folder of a model");
	if (!rc && !to)
		rc = err_set(ERR_CONFIG, "import: --out DIR is missing, the checkpoint to be written");
	return rc ? rc : import(a.positional[0], to, &o);
}

/* What stands for what is gone, and who can read it. */
static void print_gone(const struct hf_export_options *o, const struct hf_export_report *r)
{
	const bool named = o->pruned_heads && r->heads > 0;
	if (r->zeros > 0)
		printf("zeros added: %" PRId64
		       ", for heads (%d) and feed-forward units (%d) that layers lack; the model "
		       "computes the same\n",
		    r->zeros, named ? 0 : r->heads, r->units);
	if (named)
		printf("heads left out: %d; config.json names them as pruned_heads, which transformers reads before "
		       "version 5 only\n",
		    r->heads);
}

/* transformers takes 0.5 for all labels, and its config.json has no place for others. */
static void print_thresholds(const struct task *t)
{
	bool usual = true;
	for (int i = 0; t->threshold && i < t->classes; i++)
		usual = usual && t->threshold[i] == 0.5;
	if (usual)
		return;
	printf("left out, for config.json has no place for them: the thresholds of");
	for (int i = 0; i < t->classes; i++)
		printf(" '%s' (%g)%s", t->class_name[i], t->threshold[i], i + 1 < t->classes ? "," : "\n");
}

static int export(const char *from, const char *to, const struct hf_export_options *o)
{
	struct hf_export_report report;
	struct checkpoint c;
	int rc = checkpoint_load(&c, from);
	if (rc)
		return rc;
	rc = hf_export(&c, to, o, &report);
	if (!rc) {
		printf("%s -> %s\n", from, to);
		print_gone(o, &report);
		print_thresholds(&c.task);
	}
	checkpoint_clear(&c);
	return rc;
}

int cmd_export(int argc, char **argv)
{
	static const struct flag flags[] = {{"hf", true, 'f'}, {"pruned-heads", false, 'p'}, {0}};
	struct hf_export_options o = {0};
	const char *to = NULL;
	struct args a;
	int id, rc = 0;
	args_init(&a, flags, argc, argv);
	while (!rc && (id = args_next(&a)) != 0) {
		if (id < 0)
			rc = id;
		else if (id == 'p')
			o.pruned_heads = true;
		else
			to = a.value;
	}
	if (!rc)
		rc = args_count(&a, 1, 1, "a checkpoint");
	if (!rc && !to)
		rc = err_set(ERR_CONFIG, "export: --hf DIR is missing, the folder to be written");
	return rc ? rc : export(a.positional[0], to, &o);
}

/* pipeline predict: class and probabilities of image files, or of rows of the checkpoint's own data set. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "pipeline/command.h"
#include "pipeline/model_data.h"
#include "pipeline/registry.h"
#include "stages/common.h"

struct predictor {
	struct device dev;
	struct stage_model model;
	struct graph graph;
	struct executor *ex;
	struct model_norm norm;
	float *x, *logits;
	uint8_t *pixels;
	size_t count; /* pixels of one image */
};

static void predictor_close(struct predictor *p)
{
	executor_free(p->ex);
	graph_clear(&p->graph);
	stage_model_clear(&p->model);
	mem_free(p->x);
	mem_free(p->logits);
	mem_free(p->pixels);
	if (p->dev.backend)
		p->dev.backend->close(p->dev.ctx);
}

static int predictor_open(struct predictor *p, const char *dir, long threads)
{
	memset(p, 0, sizeof(*p));
	graph_init(&p->graph);
	int rc = registry_backend("cpu", &p->dev.backend);
	if (!rc)
		rc = p->dev.backend->open(&p->dev.ctx, &(struct open_options){.threads = (int)threads});
	if (rc < 0) {
		p->dev.backend = NULL;
		return rc;
	}
	rc = stage_model_load(&p->model, dir, p->dev, NULL);
	if (!rc)
		rc = model_norm_read(&p->norm, &p->model.ckpt);
	if (!rc)
		rc = stage_model_build(&p->model, &shape_one, &p->graph);
	if (!rc)
		rc = executor_create(
		    &p->ex, &p->graph, &p->model.params, &(struct executor_options){.mode = EXEC_INFER});
	if (!rc)
		rc = executor_prepare(p->ex);
	if (rc < 0)
		return rc;
	const struct model_spec *s = &p->model.ckpt.spec;
	p->count = (size_t)s->input.height * (size_t)s->input.width * (size_t)s->input.channels;
	p->x = mem_alloc(p->count, sizeof(*p->x));
	p->logits = mem_alloc((size_t)s->classes, sizeof(*p->logits));
	p->pixels = mem_alloc(p->count, 1);
	return p->x && p->logits && p->pixels ? 0 : ERR_NOMEM;
}

/* Logits of one image of 8-bit pixels, then probabilities in their place. */
static int predictor_run(struct predictor *p, const uint8_t *pixels, int *best)
{
	const struct model_spec *s = &p->model.ckpt.spec;
	size_t channels = (size_t)s->input.channels;
	for (size_t i = 0; i < p->count; i++)
		p->x[i] = ((float)pixels[i] / 255.0f - p->norm.mean[i % channels]) / p->norm.std[i % channels];
	int rc = executor_input(p->ex, "input", p->x, p->count * sizeof(*p->x));
	if (!rc)
		rc = executor_forward(p->ex);
	if (!rc)
		rc = executor_output(
		    p->ex, p->graph.node[p->graph.output].name, p->logits, (size_t)s->classes * sizeof(*p->logits));
	if (rc < 0)
		return rc;
	double sum = 0;
	*best = 0;
	for (int c = 1; c < s->classes; c++)
		if (p->logits[c] > p->logits[*best])
			*best = c;
	float top = p->logits[*best];
	for (int c = 0; c < s->classes; c++)
		sum += exp((double)(p->logits[c] - top));
	for (int c = 0; c < s->classes; c++)
		p->logits[c] = (float)(exp((double)(p->logits[c] - top)) / sum);
	return 0;
}

/* One result: a JSON object in `list`, or a line: name, class, probability, then the true class if it is known. */
static void report(const struct predictor *p, const char *name, int best, int truth, cJSON *list)
{
	const char *const *names = p->norm.class_name;
	if (!list) {
		printf("%s\t%d\t%s\t%.4f", name, best, names[best & 255], (double)p->logits[best]);
		if (truth >= 0)
			printf("\t%s", truth == best ? "right" : names[truth & 255]);
		printf("\n");
		return;
	}
	cJSON *o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "name", name);
	cJSON_AddNumberToObject(o, "class", best);
	cJSON_AddStringToObject(o, "class_name", names[best & 255]);
	cJSON_AddItemToObject(o, "probabilities", cJSON_CreateFloatArray(p->logits, p->model.ckpt.spec.classes));
	if (truth >= 0)
		cJSON_AddNumberToObject(o, "label", truth);
	cJSON_AddItemToArray(list, o);
}

static int predict_files(struct predictor *p, char **file, int n, cJSON *list)
{
	const struct model_spec *s = &p->model.ckpt.spec;
	for (int i = 0; i < n; i++) {
		struct fs_bytes bytes = {0};
		int best = 0, rc = fs_read(file[i], &bytes);
		if (rc < 0)
			return err_set(ERR_DATA, "%s", err_message());
		rc = image_decode(
		    file[i], bytes.data, bytes.size, s->input.height, s->input.width, s->input.channels, p->pixels);
		fs_bytes_clear(&bytes);
		if (!rc)
			rc = predictor_run(p, p->pixels, &best);
		if (rc < 0)
			return rc;
		report(p, file[i], best, -1, list);
	}
	return 0;
}

static int unknown_split(const char *word)
{
	const char *near = str_nearest(word, split_names, SPLIT_COUNT);
	return err_set(ERR_CONFIG, "--split must be train, validation or test, found '%s'%s%s%s", word,
	    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int predict_rows(
    struct predictor *p, const char *dir, const char *split, const char *rows, const char *config, cJSON *list)
{
	struct dataset d = {0};
	int which = 0, rc;
	while (which < SPLIT_COUNT && strcmp(split_names[which], split) != 0)
		which++;
	if (which == SPLIT_COUNT)
		return unknown_split(split);
	rc = model_data_open(&d, &p->model.ckpt, config, which == SPLIT_TEST);
	if (!rc)
		rc = stage_check_data(&p->model.ckpt.spec, &d, dir);
	if (!rc && d.n[which] < 1)
		rc = err_set(ERR_DATA, "the data set has no %s split", split);
	if (rc < 0)
		goto out;
	long long first = 0, last = d.n[which] - 1;
	char rest;
	int fields = rows ? sscanf(rows, "%lld-%lld%c", &first, &last, &rest) : 2;
	if (fields == 1 && !strchr(rows, '-'))
		last = first, fields = 2;
	if (fields != 2 || first < 0 || last < first || last >= d.n[which])
		rc = err_set(
		    ERR_CONFIG, "--rows must be FIRST-LAST within 0-%lld, found '%s'", (long long)d.n[which] - 1, rows);
	for (long long i = first; !rc && i <= last; i++) {
		char name[64];
		int best = 0;
		snprintf(name, sizeof(name), "%s:%lld", split, i);
		rc = predictor_run(p, d.pixels[which] + (size_t)i * p->count, &best);
		if (!rc)
			report(p, d.file[which] ? d.file[which][i] : name, best, d.label[which][i], list);
	}
out:
	dataset_close(&d);
	return rc;
}

int cmd_predict(int argc, char **argv)
{
	static const struct flag flags[] = {{"split", true, 's'}, {"rows", true, 'r'}, {"config", true, 'c'},
	    {"threads", true, 't'}, {"json", false, 'j'}, {NULL, false, 0}};
	/* One image at a time: waking a second thread costs more than it computes, and most of a short start. */
	long threads = 1;
	const char *split = NULL, *rows = NULL, *config = NULL;
	bool json = false;
	struct args args;
	int id;
	args_init(&args, flags, argc, argv);
	while ((id = args_next(&args)) != 0) {
		if (id < 0)
			return id;
		if (id == 't' && args_number("--threads", args.value, 0, 1024, &threads) < 0)
			return ERR_CONFIG;
		split = id == 's' ? args.value : split;
		rows = id == 'r' ? args.value : rows;
		config = id == 'c' ? args.value : config;
		json |= id == 'j';
	}
	int rc = args_count(&args, split ? 1 : 2, split ? 1 : -1, args.n ? "FILE (or --split)" : "CHECKPOINT");
	if (!rc && !split && (rows || config))
		rc = err_set(ERR_CONFIG, "predict: --rows and --config need --split");
	if (rc < 0)
		return rc;
	struct predictor p;
	cJSON *list = json ? cJSON_CreateArray() : NULL;
	rc = predictor_open(&p, args.positional[0], threads);
	if (!rc)
		rc = split ? predict_rows(&p, args.positional[0], split, rows, config, list)
			   : predict_files(&p, args.positional + 1, args.n - 1, list);
	predictor_close(&p);
	if (!rc && json)
		return command_print_json(list);
	cJSON_Delete(list);
	return rc;
}

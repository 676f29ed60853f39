/* An entry of the YAML block `models`: the key `family` with the options that the family brings, or `pretrained`. */
#ifndef ENGINE_GRAPH_MODEL_OPTIONS_H
#define ENGINE_GRAPH_MODEL_OPTIONS_H

#include <cjson/cJSON.h>

#include "config/option.h"
#include "graph/spec.h"

/* Either a family with its options, or a checkpoint that the model begins with, and what its trainings do otherwise. */
struct model_options {
	const struct family_row *family;
	void *own;                         /* owned: described by family->option */
	char *pretrained;                  /* owned: a checkpoint's folder; NULL: there is a family */
	double dropout, attention_dropout; /* beside `pretrained`; NAN: the checkpoint's */
};
/* As option_parse; beside a family the key `input` is passed over. An option of another family is an error that names
 * its families. */
int model_options_parse(struct model_options *out, const struct yaml *y, const struct yaml_node *node);
void model_options_clear(struct model_options *o);
/* The resolved entry; the schema of any entry; the listing of `explain`. NULL: out of memory. */
cJSON *model_options_to_json(const struct model_options *o);
cJSON *model_options_schema(void);
struct str;
void model_options_explain(struct str *out);
/* Of options with a family. ERR_CONFIG where they contradict each other or the input (the caller adds the place). */
int spec_from_options(
    struct model_spec *out, const struct model_options *o, const struct input_spec *input, int classes);
/* Beside `pretrained`: puts the rates that are given into the checkpoint's spec. ERR_CONFIG with *key: its family has
 * no such option, or the model nothing that it could act on. */
int spec_take_rates(struct model_spec *s, const struct model_options *o, const char **key);

#endif

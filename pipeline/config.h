/* The run's config: one YAML file plus --set assignments, read by option tables into structs. Everything that can be
 * found wrong without opening data is found here, with file, line and column. */
#ifndef PIPELINE_CONFIG_H
#define PIPELINE_CONFIG_H

#include "data/dataset.h"
#include "graph/model_options.h"
#include "input/adapter.h"
#include "pipeline/registry.h"
#include "task/task.h"

struct device_options {
	int train;   /* choice: auto, cpu, cuda */
	int64_t gpu; /* index; 0 unless train is cuda */
};
struct top_options {
	char *name, *out, *store;
	int64_t seed, threads;
	double state_seconds;
	struct device_options device;
};
extern const struct option top_option_table[];

struct model_config {
	const char *name; /* borrowed from the YAML tree */
	struct model_options options;
	struct input_options input; /* the block `input` */
	const struct yaml_node *node, *input_node;
};

/* A stage refers to an earlier stage (stage >= 0) or to a checkpoint folder (stage -1, path). */
struct stage_ref {
	int stage;
	const char *path; /* borrowed from the YAML tree */
	const struct yaml_node *node;
};

/* The keys by which a stage refers to checkpoints; a row whose key is NULL ends them. */
struct reference_key {
	const char *key;
	int count;     /* of stage_reference: what the kind must take */
	size_t offset; /* of the reference in stage_kind */
	const char *takes,
	    *absent[3]; /* in words: what is named, and what if it is left out, by stage_reference.absent */
};
extern const struct reference_key reference_keys[];
/* What the kind wants of this key; NULL: it takes none. */
const struct stage_reference *reference_of(const struct stage_kind *kind, const struct reference_key *key);

struct stage_config {
	const char *name; /* borrowed from the YAML tree */
	const struct stage_kind *kind;
	void *options; /* kind->options_size bytes */
	int model;     /* index of the model, or -1 */
	struct stage_ref teacher, input;
	bool has_teacher, has_input;
	struct stage_ref *inputs; /* evaluate */
	int n_input;
	const struct yaml_node *node;
};

struct run_config {
	struct yaml yaml;
	char *base_dir; /* the config's folder */
	struct top_options top;
	struct data_options data;
	const struct yaml_node *data_node;
	struct task_options task;
	const struct yaml_node *task_node;
	struct model_config *model;
	int n_model;
	struct stage_config *stage;
	int n_stage;
	int ranks; /* processes that the options are meant for (pipeline/run_ranks.h); 0 is 1 */
};

/* sets: "PATH=VALUE" texts of --set, applied in order before reading. */
int run_config_load(struct run_config *c, const char *path, const char *const *sets, int n_sets);
/* From a tree, which is taken. base_dir: the folder that relative paths are looked for in after the current one. */
int run_config_read(struct run_config *c, struct yaml *tree, const char *base_dir);
void run_config_clear(struct run_config *c);
/* The resolved config, every option with its value, as JSON. */
cJSON *run_config_to_json(const struct run_config *c);
/* A stage's own options, resolved. */
cJSON *stage_options_json(const struct stage_config *s);
/* The JSON Schema of a config file. */
cJSON *run_config_schema(void);
/* The keys of a stage that the run loop itself reads (kind, model, input, inputs, teacher), NULL-terminated. */
extern const char *const stage_common_keys[];

#endif

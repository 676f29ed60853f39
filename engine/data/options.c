/* The rows of the YAML block `data`. */
#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "data/dataset.h"

#define AT(field)     offsetof(struct data_options, field)
#define IN_AUG(field) offsetof(struct augment_options, field)

static const char *const source_choices[] = {"digits", "idx", "images", NULL};

static const struct option augment_table[] = {
    {.key = "flip",
	.type = OPT_BOOL,
	.offset = IN_AUG(flip),
	.def = "false",
	.help = "mirror left to right, half of the time"},
    {.key = "rotate90",
	.type = OPT_BOOL,
	.offset = IN_AUG(rotate90),
	.def = "false",
	.help = "rotate by 0, 90, 180 or 270 degrees (square images only)"},
    {.key = "crop_padding",
	.type = OPT_INT,
	.offset = IN_AUG(crop_padding),
	.def = "0",
	.min = 0,
	.max = 1024,
	.help = "shift by up to this many pixels, filling with pixel value 0; 0 = off"},
    OPTION_END,
};

const struct option data_option_table[] = {
    {.key = "source",
	.type = OPT_CHOICE,
	.offset = AT(source),
	.required = true,
	.choices = source_choices,
	.help = "digits: embedded 8x8 digits; idx: IDX files; images: class folders or archives"},
    {.key = "path",
	.type = OPT_STRING,
	.offset = AT(path),
	.help = "folder of the files, relative to the current directory, then to the config"},
    {.key = "archives",
	.type = OPT_STRINGS,
	.offset = AT(archives),
	.help = "images: .tar.gz or .zip files below path; none = class folders"},
    {.key = "index",
	.type = OPT_STRING,
	.offset = AT(index),
	.help = "images: CSV below path with columns file, label or class, and optionally split and archive"},
    {.key = "train_images",
	.type = OPT_STRING,
	.offset = AT(train_images),
	.def = "train-images-idx3-ubyte",
	.help = "idx: file below path, plain or .gz"},
    {.key = "train_labels",
	.type = OPT_STRING,
	.offset = AT(train_labels),
	.def = "train-labels-idx1-ubyte",
	.help = "idx: file below path, plain or .gz"},
    {.key = "test_images",
	.type = OPT_STRING,
	.offset = AT(test_images),
	.def = "t10k-images-idx3-ubyte",
	.help = "idx: file below path, plain or .gz; \"\" = cut test_fraction off the train files"},
    {.key = "test_labels",
	.type = OPT_STRING,
	.offset = AT(test_labels),
	.def = "t10k-labels-idx1-ubyte",
	.help = "idx: file below path, plain or .gz; \"\" as for test_images"},
    {.key = "val_fraction",
	.type = OPT_FLOAT,
	.offset = AT(val_fraction),
	.def = "0.1",
	.min = 0,
	.max = 0.9,
	.help = "part of each class cut off for validation where the source names no such split"},
    {.key = "test_fraction",
	.type = OPT_FLOAT,
	.offset = AT(test_fraction),
	.def = "0.2",
	.min = 0,
	.max = 0.9,
	.help = "part of each class cut off for testing where the source names no such split"},
    {.key = "fraction",
	.type = OPT_FLOAT,
	.offset = AT(fraction),
	.def = "1",
	.min = 1e-6,
	.max = 1,
	.help = "stratified part of the train split to use"},
    {.key = "mean",
	.type = OPT_FLOATS,
	.offset = AT(mean),
	.min = -1,
	.max = 1,
	.help = "per channel on the 0..1 scale, or one for all; none = measured on the train split"},
    {.key = "std",
	.type = OPT_FLOATS,
	.offset = AT(std),
	.min = 1e-4,
	.max = 100,
	.help = "per channel on the 0..1 scale, or one for all; none = measured on the train split"},
    {.key = "augment",
	.type = OPT_BLOCK,
	.offset = AT(augment),
	.block = augment_table,
	.help = "changes to training images; stages switch it on"},
    OPTION_END,
};

#define BIT(source) (1u << (source))
enum { DIGITS, IDX, IMAGES }; /* the order of source_choices */

/* Which sources look at an option; those that are not listed belong to all. */
static unsigned sources_of(const char *key)
{
	static const struct {
		const char *key;
		unsigned sources;
	} rows[] = {{"path", BIT(IDX) | BIT(IMAGES)}, {"archives", BIT(IMAGES)}, {"index", BIT(IMAGES)},
	    {"train_images", BIT(IDX)}, {"train_labels", BIT(IDX)}, {"test_images", BIT(IDX)},
	    {"test_labels", BIT(IDX)}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].key, key) == 0)
			return rows[i].sources;
	return ~0u;
}

/* The first option that the source would ignore although it is not at its default, or NULL. */
static const char *find_unused(const struct data_options *o, const cJSON *given)
{
	for (const struct option *row = data_option_table; row->key; row++) {
		const cJSON *v = cJSON_GetObjectItemCaseSensitive(given, row->key);
		bool set = cJSON_IsArray(v) ? cJSON_GetArraySize(v) > 0
					    : cJSON_IsString(v) && (!row->def || strcmp(v->valuestring, row->def) != 0);

		if (!(sources_of(row->key) & BIT(o->source)) && set)
			return row->key;
	}
	return NULL;
}

int data_options_check(const struct data_options *o, const char **key)
{
	cJSON *given = option_to_json(data_option_table, o);

	*key = given ? find_unused(o, given) : NULL;
	cJSON_Delete(given);
	if (!given)
		return err_set(ERR_NOMEM, "out of memory");
	if (*key)
		return err_set(ERR_CONFIG, "%s has no effect with source %s", *key, source_choices[o->source]);
	*key = o->mean.n > 0 ? "mean" : "std";
	if ((o->mean.n > 0) != (o->std.n > 0))
		return err_set(ERR_CONFIG, "mean and std must be given together");
	*key = NULL;
	return 0;
}

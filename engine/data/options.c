/* The rows of the YAML block `data`. */
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/dataset.h"
#include "data/source.h"

#define AT(field)     offsetof(struct data_options, field)
#define IN_AUG(field) offsetof(struct augment_options, field)

static const char *const source_choices[SOURCE_COUNT + 1] = {
    "digits", "idx", "images", "csv", "jsonl", "phrasebank", NULL};
static const char *const resize_choices[] = {"crop", "stretch", NULL}; /* enum image_resize without none */
static const char *const held_choices[] = {"auto", "memory", "file", NULL};
static const char *const encoding_choices[] = {"auto", "utf8", "latin1", NULL};
static const char *const delimiter_choices[] = {"auto", ",", ";", "tab", NULL};
static const char *const quotes_choices[] = {"csv", "none", NULL};

/* The kinds of source. */
#define TABLES   (OPTION_BIT(SOURCE_CSV) | OPTION_BIT(SOURCE_JSONL))
#define TEXTS    (TABLES | OPTION_BIT(SOURCE_PHRASEBANK))
#define FILES    (OPTION_BIT(SOURCE_IDX) | OPTION_BIT(SOURCE_IMAGES) | TEXTS)
#define PICTURES (OPTION_BIT(SOURCE_DIGITS) | OPTION_BIT(SOURCE_IDX) | OPTION_BIT(SOURCE_IMAGES))

#define VAL_FRACTION       0.1
#define VAL_FRACTION_TEXT  "0.1"
#define TEST_FRACTION      0.2
#define TEST_FRACTION_TEXT "0.2"

static const char *const replace_choices[] = {"random", "mask", NULL};

#define JITTER_ROW(field, most, about)                                                                                 \
	{                                                                                                              \
		.key = #field, .type = OPT_FLOAT, .offset = IN_AUG(field), .def = "0", .min = 0, .max = most,          \
		.help = about "; 0 = off"                                                                              \
	}
const struct option augment_option_table[] = {
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
    {.key = "resized_crop",
	.type = OPT_BOOL,
	.offset = IN_AUG(resized_crop),
	.def = "false",
	.help = "cut out a random part and enlarge it to the size of the image, bilinear"},
    {.key = "crop_scale",
	.type = OPT_FLOATS,
	.offset = IN_AUG(crop_scale),
	.def = "[0.08, 1]",
	.min = 0.0001,
	.max = 1,
	.when = "resized_crop",
	.only = OPTION_TRUE,
	.help = "least and greatest area of that part, as a share of the image"},
    {.key = "crop_ratio",
	.type = OPT_FLOATS,
	.offset = IN_AUG(crop_ratio),
	.def = "[0.75, 1.3333333333333333]",
	.min = 0.01,
	.max = 100,
	.when = "resized_crop",
	.only = OPTION_TRUE,
	.help = "its least and greatest width over height"},
    JITTER_ROW(brightness, 10, "multiply by a factor between 1 - this (at least 0) and 1 + this"),
    JITTER_ROW(contrast, 10, "the same for the distance of each value from the image's mean grey"),
    JITTER_ROW(saturation, 10, "colour images: the same for the distance of each pixel from its grey"),
    JITTER_ROW(hue, 0.5, "colour images: turn the hue by up to this much of the circle, either way"),
    {.key = "erase",
	.type = OPT_FLOAT,
	.offset = IN_AUG(erase),
	.def = "0",
	.min = 0,
	.max = 1,
	.help = "chance of each image that a random rectangle of it is replaced by the mean of the channel"},
    {.key = "erase_scale",
	.type = OPT_FLOATS,
	.offset = IN_AUG(erase_scale),
	.def = "[0.02, 0.33]",
	.min = 0.0001,
	.max = 1,
	.when = "erase",
	.only = OPTION_POSITIVE,
	.help = "least and greatest area of the rectangle, as a share of the image"},
    {.key = "erase_ratio",
	.type = OPT_FLOATS,
	.offset = IN_AUG(erase_ratio),
	.def = "[0.3, 3.3]",
	.min = 0.01,
	.max = 100,
	.when = "erase",
	.only = OPTION_POSITIVE,
	.help = "its least and greatest height over width"},
    {.key = "token_drop",
	.type = OPT_FLOAT,
	.offset = IN_AUG(token_drop),
	.def = "0",
	.min = 0,
	.max = 0.9,
	.help = "texts: chance of each token to be left out"},
    {.key = "token_replace",
	.type = OPT_FLOAT,
	.offset = IN_AUG(token_replace),
	.def = "0",
	.min = 0,
	.max = 0.9,
	.help = "texts: chance of each token that stays to become another"},
    {.key = "token_replace_by",
	.type = OPT_CHOICE,
	.offset = IN_AUG(token_replace_by),
	.def = "random",
	.choices = replace_choices,
	.when = "token_replace",
	.only = OPTION_POSITIVE,
	.help = "texts: any token of the vocabulary but the special ones, or [MASK]"},
    OPTION_END,
};

const struct option data_option_table[] = {
    {.key = "source",
	.type = OPT_CHOICE,
	.offset = AT(source),
	.required = true,
	.choices = source_choices,
	.help =
	    "digits: embedded 8x8 digits; idx: IDX files; images: class folders or archives; texts: csv (also TSV), "
	    "jsonl, phrasebank (sentence@label)"},
    {.key = "path",
	.type = OPT_STRING,
	.path = true,
	.offset = AT(path),
	.when = "source",
	.only = FILES,
	.help = "folder of the files, or one file of texts; relative to the current directory, then to the config"},
    {.key = "archives",
	.type = OPT_STRINGS,
	.path = true,
	.offset = AT(archives),
	.when = "source",
	.only = OPTION_BIT(SOURCE_IMAGES),
	.help =
	    "images: .tar (also packed as .gz, .bz2, .xz or .zst) or .zip files below path; none = class folders, or "
	    "path is the archive"},
    {.key = "index",
	.type = OPT_STRING,
	.path = true,
	.offset = AT(index),
	.when = "source",
	.only = OPTION_BIT(SOURCE_IMAGES),
	.help =
	    "images: table below path with columns file, label or class, and optionally split and archive, or other "
	    "usual names of these"},
    {.key = "file",
	.type = OPT_STRING,
	.offset = AT(file),
	.when = "index",
	.only = OPTION_GIVEN,
	.help = "images: the index's column of file names; none = file, else filename, path, image, image_path, ..."},
    {.key = "outside",
	.type = OPT_BOOL,
	.offset = AT(outside),
	.def = "false",
	.when = "index",
	.only = OPTION_GIVEN,
	.help = "images: an index may name files that do not lie below path, by absolute names"},
    {.key = "train_images",
	.type = OPT_STRING,
	.path = true,
	.offset = AT(train_images),
	.def = "train-images-idx3-ubyte",
	.when = "source",
	.only = OPTION_BIT(SOURCE_IDX),
	.help = "idx: file below path, plain or .gz"},
    {.key = "train_labels",
	.type = OPT_STRING,
	.path = true,
	.offset = AT(train_labels),
	.def = "train-labels-idx1-ubyte",
	.when = "source",
	.only = OPTION_BIT(SOURCE_IDX),
	.help = "idx: file below path, plain or .gz"},
    {.key = "test_images",
	.type = OPT_STRING,
	.path = true,
	.offset = AT(test_images),
	.def = "t10k-images-idx3-ubyte",
	.when = "source",
	.only = OPTION_BIT(SOURCE_IDX),
	.help = "idx: file below path, plain or .gz; \"\" = cut test_fraction off the train files"},
    {.key = "test_labels",
	.type = OPT_STRING,
	.path = true,
	.offset = AT(test_labels),
	.def = "t10k-labels-idx1-ubyte",
	.when = "source",
	.only = OPTION_BIT(SOURCE_IDX),
	.help = "idx: file below path, plain or .gz; \"\" as for test_images"},
    {.key = "train",
	.type = OPT_STRING,
	.path = true,
	.offset = AT(train),
	.when = "source",
	.only = TEXTS | OPTION_BIT(SOURCE_IMAGES),
	.help = "texts: file below path; none = path is the file, or what is called train in it. images: name of the "
		"folder that holds class folders of images for training; none = folders called like splits, if any"},
    {.key = "val",
	.type = OPT_STRING,
	.path = true,
	.offset = AT(val),
	.when = "source",
	.only = TEXTS | OPTION_BIT(SOURCE_IMAGES),
	.help = "as train, for validation; none = cut off"},
    {.key = "test",
	.type = OPT_STRING,
	.path = true,
	.offset = AT(test),
	.when = "source",
	.only = TEXTS | OPTION_BIT(SOURCE_IMAGES),
	.help = "as train, for testing; none = cut off"},
    {.key = "text",
	.type = OPT_STRING,
	.offset = AT(text_column),
	.when = "source",
	.only = TABLES,
	.help =
	    "csv, jsonl: column of the text; none = the one called text, sentence or comment, else review, content, "
	    "message, tweet or body"},
    {.key = "text_pair",
	.type = OPT_STRING,
	.offset = AT(text_pair),
	.when = "source",
	.only = TABLES,
	.help =
	    "csv, jsonl: column of the second text, where samples are pairs; none = that of two columns which belong "
	    "together, as sentence1 and sentence2, question and sentence, premise and hypothesis, unless text is "
	    "given"},
    {.key = "label",
	.type = OPT_STRING,
	.offset = AT(label),
	.when = "source",
	.only = TABLES | OPTION_BIT(SOURCE_IMAGES),
	.help = "csv, jsonl, an index: column of the class; none = label or class, else category, target, ... jsonl: a "
		"field of lists of names makes label sets"},
    {.key = "labels",
	.type = OPT_STRINGS,
	.offset = AT(labels),
	.when = "source",
	.only = TABLES,
	.help = "csv, jsonl: columns of 0 and 1, one per class in this order: a text may have any of them"},
    {.key = "classes",
	.type = OPT_STRINGS,
	.offset = AT(classes),
	.when = "source",
	.only = TEXTS,
	.help = "texts: the class names in their order; labels may then also be 0-based numbers; none = the labels "
		"that occur, sorted"},
    {.key = "encoding",
	.type = OPT_CHOICE,
	.offset = AT(encoding),
	.def = "auto",
	.choices = encoding_choices,
	.when = "source",
	.only = OPTION_BIT(SOURCE_CSV) | OPTION_BIT(SOURCE_PHRASEBANK),
	.help = "csv, phrasebank: auto = utf8 for csv, latin1 (ISO-8859-1) for phrasebank"},
    {.key = "delimiter",
	.type = OPT_CHOICE,
	.offset = AT(delimiter),
	.def = "auto",
	.choices = delimiter_choices,
	.when = "source",
	.only = OPTION_BIT(SOURCE_CSV) | OPTION_BIT(SOURCE_IMAGES),
	.help = "csv, an index: auto = the one that is in the header; where that does not tell, tab for files called "
		".tsv or .tab, else a comma"},
    {.key = "quotes",
	.type = OPT_CHOICE,
	.offset = AT(quotes),
	.def = "csv",
	.choices = quotes_choices,
	.when = "source",
	.only = OPTION_BIT(SOURCE_CSV),
	.help = "csv: fields may be quoted as in RFC 4180; none = a quote is a character like others"},
    {.key = "split_column",
	.type = OPT_STRING,
	.offset = AT(split_column),
	.when = "source",
	.only = OPTION_BIT(SOURCE_CSV) | OPTION_BIT(SOURCE_IMAGES),
	.help = "csv, an index: column whose words name the splits; \"\" = no column; none = split, else subset, "
		"partition, set or fold, if it holds such words"},
    {.key = "folds",
	.type = OPT_INT,
	.offset = AT(folds),
	.def = "0",
	.min = 0,
	.max = 1000,
	.help = "cut into so many equal parts, one of them for testing, instead of test_fraction; 0 = off"},
    {.key = "fold",
	.type = OPT_INT,
	.offset = AT(fold),
	.def = "0",
	.min = 0,
	.max = 999,
	.when = "folds",
	.only = OPTION_POSITIVE,
	.help = "which of the folds is the test split, 0 to folds - 1"},
    {.key = "fold_column",
	.type = OPT_STRING,
	.offset = AT(fold_column),
	.when = "folds",
	.only = OPTION_POSITIVE,
	.help = "csv, an index: column that says which fold a row is in, by numbers from 0 or from 1; none = folds are "
		"cut by content"},
    {.key = "val_fraction",
	.type = OPT_FLOAT,
	.offset = AT(val_fraction),
	.def = VAL_FRACTION_TEXT,
	.min = 0,
	.max = 0.9,
	.help = "part of each class cut off for validation where the source names no such split"},
    {.key = "test_fraction",
	.type = OPT_FLOAT,
	.offset = AT(test_fraction),
	.def = TEST_FRACTION_TEXT,
	.min = 0,
	.max = 0.9,
	.when = "folds",
	.only = OPTION_ZERO,
	.help = "part of each class cut off for testing where the source names no such split"},
    {.key = "fraction",
	.type = OPT_FLOAT,
	.offset = AT(fraction),
	.def = "1",
	.min = 1e-6,
	.max = 1,
	.help = "stratified part of the train split to use"},
    {.key = "size",
	.type = OPT_INTS,
	.offset = AT(size),
	.min = 1,
	.max = SAMPLE_MAX_SIDE,
	.when = "source",
	.only = PICTURES,
	.help = "resize to squares of this side, or to [height, width]; none = all must have the size of the first"},
    {.key = "resize",
	.type = OPT_CHOICE,
	.offset = AT(resize),
	.def = "crop",
	.choices = resize_choices,
	.when = "size",
	.only = OPTION_GIVEN,
	.help = "crop: the shorter side to that size, then the centre is cut out; stretch: each side for itself"},
    {.key = "channels",
	.type = OPT_INT,
	.offset = AT(channels),
	.def = "0",
	.min = 0,
	.max = 3,
	.when = "source",
	.only = PICTURES,
	.help = "1 = colour becomes grey, 3 = grey becomes colour; 0 = in colour if any is, and so are the others"},
    {.key = "skip_bad",
	.type = OPT_INT,
	.offset = AT(skip_bad),
	.def = "0",
	.min = 0,
	.max = 1000000000,
	.when = "source",
	.only = OPTION_BIT(SOURCE_IMAGES),
	.help = "images: leave out up to so many files that cannot be used, and say which; more are an error"},
    {.key = "held",
	.type = OPT_CHOICE,
	.offset = AT(held),
	.def = "auto",
	.choices = held_choices,
	.when = "source",
	.only = PICTURES,
	.help =
	    "where decoded pixels are; auto: in memory, or in a file where they need more than half of what is free"},
    {.key = "cache",
	.type = OPT_STRING,
	.path = true,
	.offset = AT(cache),
	.when = "source",
	.only = PICTURES,
	.help = "folder on a disk for that file; none = the current folder, TMPDIR or /var/tmp, the first with room"},
    {.key = "mean",
	.type = OPT_FLOATS,
	.offset = AT(mean),
	.min = -1,
	.max = 1,
	.when = "source",
	.only = PICTURES,
	.help = "per channel on the 0..1 scale, or one for all; none = measured on the train split"},
    {.key = "std",
	.type = OPT_FLOATS,
	.offset = AT(std),
	.min = 1e-4,
	.max = 100,
	.when = "source",
	.only = PICTURES,
	.help = "per channel on the 0..1 scale, or one for all; none = measured on the train split"},
    {.key = "augment",
	.type = OPT_BLOCK,
	.offset = AT(augment),
	.block = augment_option_table,
	.help = "changes to training samples; stages switch it on"},
    OPTION_END,
};

bool augment_texts(const struct augment_options *a)
{
	return a->token_drop > 0 || a->token_replace > 0;
}

static bool augment_images(const struct augment_options *a)
{
	return a->flip || a->rotate90 || a->crop_padding > 0 || a->resized_crop || a->erase > 0 || a->brightness > 0 ||
	       a->contrast > 0 || a->saturation > 0 || a->hue > 0;
}

bool augment_any(const struct augment_options *a)
{
	return augment_images(a) || augment_texts(a);
}

static bool differs(double fraction, double usual)
{
	return fraction < usual || fraction > usual;
}

/* A part to cut off for a split that has a file of its own. */
static int check_fractions(const struct data_options *o, const char **key)
{
	const char *test = o->source == SOURCE_IDX ? o->test_images : o->test;
	*key = "val_fraction";
	if (o->val && differs(o->val_fraction, VAL_FRACTION))
		return err_set(ERR_CONFIG, "val_fraction has no effect: the validation split is the file '%s'", o->val);
	*key = "test_fraction";
	if (test && *test && differs(o->test_fraction, TEST_FRACTION))
		return err_set(ERR_CONFIG, "test_fraction has no effect: the test split is the file '%s'", test);
	return 0;
}

int data_options_check_cuts(const struct data_options *o, const bool named[SPLIT_COUNT])
{
	if (named[SPLIT_VAL] && differs(o->val_fraction, VAL_FRACTION))
		return err_set(ERR_CONFIG, "data.val_fraction has no effect: the data name a validation split");
	if (named[SPLIT_TEST] && o->folds > 0 && !o->fold_column)
		return err_set(ERR_CONFIG, "data.folds has no effect: the data name a test split");
	if (named[SPLIT_TEST] && differs(o->test_fraction, TEST_FRACTION))
		return err_set(ERR_CONFIG, "data.test_fraction has no effect: the data name a test split");
	return 0;
}

/* What the options of texts say against each other. */
static int check_texts(const struct data_options *o, const char **key)
{
	*key = "labels";
	if (o->labels.n > 0 && o->label)
		return err_set(
		    ERR_CONFIG, "label and labels cannot both be given: a text has one class, or any of several");
	*key = "classes";
	if (o->labels.n > 0 && o->classes.n > 0)
		return err_set(ERR_CONFIG, "labels already names the classes in their order");
	*key = NULL;
	return 0;
}

static int check_folds(const struct data_options *o, const char **key)
{
	const char *test = o->source == SOURCE_IDX ? o->test_images : o->test;
	const bool index = o->source == SOURCE_IMAGES && o->index && *o->index;

	*key = "fold";
	if (o->folds > 0 && o->fold >= o->folds)
		return err_set(ERR_CONFIG, "fold is %lld; with %lld folds it is one of 0 to %lld", (long long)o->fold,
		    (long long)o->folds, (long long)o->folds - 1);
	*key = "folds";
	if (o->folds == 1)
		return err_set(ERR_CONFIG, "folds is 1; at least 2 are needed, or 0 for none");
	if (o->folds > 0 && test && *test)
		return err_set(ERR_CONFIG, "the test split is a fold, or the file '%s', but not both", test);
	*key = "fold_column";
	if (o->fold_column && o->source != SOURCE_CSV && !index)
		return err_set(ERR_CONFIG, "fold_column has no effect; it is of tables: csv, and an index of images");
	*key = "split_column";
	if (o->fold_column && o->split_column && *o->split_column)
		return err_set(ERR_CONFIG,
		    "the column '%s' names the splits, or '%s' the fold for testing, but not both", o->split_column,
		    o->fold_column);
	*key = NULL;
	return 0;
}

/* What is of an index alone, or not of one. */
static int check_index(const struct data_options *o, const char **key)
{
	const bool index = o->index && *o->index;

	*key = o->label ? "label" : o->delimiter ? "delimiter" : "split_column";
	if (!index && (o->label || o->delimiter || o->split_column))
		return err_set(ERR_CONFIG, "%s has no effect on images without an index", *key);
	*key = "outside";
	if (o->outside && o->archives.n > 0)
		return err_set(ERR_CONFIG, "outside has no effect where files lie in archives");
	*key = NULL;
	return 0;
}

/* Folders of splits. */
static int check_folders(const struct data_options *o, const char **key)
{
	const char *const keys[SPLIT_COUNT] = {"train", "val", "test"}, *const name[] = {o->train, o->val, o->test};

	for (int s = 0; s < SPLIT_COUNT; s++) {
		*key = keys[s];
		if (name[s] && o->index && *o->index)
			return err_set(ERR_CONFIG,
			    "%s has no effect with an index, whose column 'split' names the splits", keys[s]);
		if (name[s] && (*name[s] == '\0' || *name[s] == '.' || strchr(name[s], '/')))
			return err_set(ERR_CONFIG,
			    "%s is '%s', which is no plain name of a folder; path leads to where it lies", keys[s],
			    name[s]);
		for (int k = 0; k < s; k++)
			if (name[s] && name[k] && strcmp(name[s], name[k]) == 0)
				return err_set(ERR_CONFIG, "%s and %s are both '%s'", keys[k], keys[s], name[s]);
	}
	*key = "train";
	if ((o->val || o->test) && !o->train)
		return err_set(ERR_CONFIG, "train must name a folder too where val or test does");
	*key = NULL;
	return 0;
}

static int check_range(const struct option_floats *v, const char *key)
{
	if (v->n == 0 || (v->n == 2 && v->v[0] <= v->v[1])) /* none: it has no effect */
		return 0;
	if (v->n != 2)
		return err_set(ERR_CONFIG, "augment: %s has %d values; it is the least and the greatest", key, v->n);
	return err_set(
	    ERR_CONFIG, "augment: %s is [%g, %g]; the first must not be above the second", key, v->v[0], v->v[1]);
}

/* Changes that the samples do not know, and ranges. */
static int check_augment(const struct data_options *o, const char **key)
{
	const bool texts = TEXTS & OPTION_BIT(o->source);
	const struct augment_options *a = &o->augment;
	*key = "augment";
	if (texts && augment_images(a))
		return err_set(ERR_CONFIG,
		    "augment: flip, rotate90, crop_padding, resized_crop, brightness, contrast, saturation, hue and "
		    "erase have no effect on texts");
	if (!texts && augment_texts(a))
		return err_set(ERR_CONFIG, "augment: token_drop and token_replace have no effect on images");
	const struct {
		const struct option_floats *v;
		const char *key;
	} range[] = {{&a->crop_scale, "crop_scale"}, {&a->crop_ratio, "crop_ratio"}, {&a->erase_scale, "erase_scale"},
	    {&a->erase_ratio, "erase_ratio"}};
	for (size_t i = 0; i < sizeof(range) / sizeof(*range); i++) {
		int rc = check_range(range[i].v, range[i].key);
		if (rc)
			return rc;
	}
	*key = NULL;
	return 0;
}

static int check_size(const struct data_options *o, const char **key)
{
	*key = "size";
	if (o->size.n > 2)
		return err_set(ERR_CONFIG, "size has %d values; it is one side, or height and width", o->size.n);
	*key = "channels";
	if (o->channels == 2)
		return err_set(ERR_CONFIG, "channels is 2; images have 1 (grey) or 3 (colour)");
	*key = NULL;
	return 0;
}

struct image_fit data_options_fit(const struct data_options *o)
{
	struct image_fit fit = {.channels = (int)o->channels, .to_grey = o->channels == 1};

	if (o->size.n == 0)
		return fit;
	fit.height = (int)o->size.v[0];
	fit.width = (int)o->size.v[o->size.n - 1];
	fit.resize = (enum image_resize)(RESIZE_CROP + o->resize);
	return fit;
}

int data_options_set_fit(struct data_options *o, const struct image_fit *fit)
{
	o->channels = fit->channels == 3 || fit->to_grey ? fit->channels : 0;
	mem_free(o->size.v);
	o->size = (struct option_ints){0};
	if (fit->resize == RESIZE_NONE)
		return 0;
	o->size.v = mem_alloc(2, sizeof(*o->size.v));
	if (!o->size.v)
		return ERR_NOMEM;
	o->size.n = 2;
	o->size.v[0] = fit->height;
	o->size.v[1] = fit->width;
	o->resize = (int)fit->resize - RESIZE_CROP;
	return 0;
}

int data_options_check(const struct data_options *o, const char **key)
{
	int rc = check_augment(o, key);
	if (rc)
		return rc;
	if (o->source == SOURCE_IDX || TEXTS & OPTION_BIT(o->source))
		rc = check_fractions(o, key);
	if (!rc && TEXTS & OPTION_BIT(o->source))
		rc = check_texts(o, key);
	if (!rc && o->source == SOURCE_IMAGES)
		rc = check_folders(o, key);
	if (!rc && o->source == SOURCE_IMAGES)
		rc = check_index(o, key);
	if (!rc)
		rc = check_folds(o, key);
	if (!rc)
		rc = check_size(o, key);
	if (rc || TEXTS & OPTION_BIT(o->source))
		return rc;
	*key = "cache";
	if (o->cache && o->held == HELD_MEMORY)
		return err_set(ERR_CONFIG, "cache has no effect where the pixels are held in memory");
	*key = o->mean.n > 0 ? "mean" : "std";
	if ((o->mean.n > 0) != (o->std.n > 0))
		return err_set(ERR_CONFIG, "mean and std must be given together");
	*key = NULL;
	return 0;
}

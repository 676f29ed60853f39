/* What the options of the block `data` say against each other, or of a source that has no use for them. */
#include <string.h>

#include "base/err.h"
#include "data/options.h"
#include "data/source.h"

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

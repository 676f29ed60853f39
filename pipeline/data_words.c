#include "pipeline/data_words.h"

#include <inttypes.h>

static void add_duplicates(struct str *out, const struct dataset *d, int64_t n, enum split s, enum split also)
{
	const char *what = d->pairs ? "pair" : d->kind == SAMPLE_TEXT ? "text" : "image";
	if (n > 0)
		str_addf(out, "warning: %" PRId64 " of the %" PRId64 " %s %ss %s also in the %s split\n", n, d->n[s],
		    split_names[s], what, n == 1 ? "is" : "are", split_names[also]);
}

/* What was not left out, but may be meant otherwise, or was found out. */
static void add_names(struct str *out, const struct data_notes *notes, enum note_kind kind, const char *what)
{
	const char *const *name = (const char *const *)notes->of[kind].name;
	if (notes->of[kind].n == 0)
		return;
	bool found = kind == NOTE_FOUND;
	str_addf(out, "%s%s: ", found ? "" : "warning: ", what);
	for (int i = 0; i < NOTE_NAMES && name[i]; i++)
		str_addf(out, "%s%s", !i ? "" : found ? "; " : ", ", name[i]);
	str_add(out, notes->of[kind].n > NOTE_NAMES ? ", ...\n" : "\n");
}

static void add_repeated(struct str *out, const struct dataset *d)
{
	bool texts = d->kind == SAMPLE_TEXT;
	if (d->repeated_texts > 0)
		str_addf(out,
		    "%s%" PRId64 " of %" PRId64 " distinct %s occur more than once%s, %" PRId64
		    " with different labels\n",
		    texts ? "" : "warning: ", d->repeated_texts, d->distinct_texts, samples_word(d->kind, d->pairs),
		    texts ? "" : " (duplicates)", d->contradicting_texts);
}

void data_words(struct str *out, const struct dataset *d)
{
	dataset_words(out, d);
	data_words_of_samples(out, d);
}

void data_words_of_samples(struct str *out, const struct dataset *d)
{
	struct str passed = {0};
	bool serious;
	notes_passed_over(&d->notes, &passed, &serious);
	if (passed.len)
		str_addf(out, "%spassed over: %s\n", serious ? "warning: " : "", str_text(&passed));
	str_clear(&passed);
	struct str converted = {0};
	notes_converted(&d->notes, &converted);
	if (converted.len)
		str_addf(out, "converted: %s\n", str_text(&converted));
	str_clear(&converted);
	add_names(out, &d->notes, NOTE_FOUND, "found");
	add_names(out, &d->notes, NOTE_SPELLING,
	    "names of classes that differ in spelling alone, but are each a class of its own");
	add_names(out, &d->notes, NOTE_COPIES,
	    "too few distinct images for all splits, so that copies are in different ones, in the classes");
	add_repeated(out, d);
	add_duplicates(out, d, d->duplicates_train_val, SPLIT_VAL, SPLIT_TRAIN);
	add_duplicates(out, d, d->duplicates_train_test, SPLIT_TEST, SPLIT_TRAIN);
	add_duplicates(out, d, d->duplicates_val_test, SPLIT_TEST, SPLIT_VAL);
}

void data_words_print(const struct dataset *d, FILE *to)
{
	struct str words = {0};
	data_words(&words, d);
	fputs(str_text(&words), to);
	str_clear(&words);
}

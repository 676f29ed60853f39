/* Opening a data set: list, load, split, hash, in this order for every source. The sources themselves are
 * in digits.c, idx_source.c, images*.c and texts*.c. */
#include "data/dataset.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "data/prints.h"
#include "data/source.h"

static const struct source *const sources[SOURCE_COUNT] = {
    &source_digits, &source_idx, &source_images, &source_texts, &source_texts, &source_texts};

/* Moves shape, class names, labels and file names from the listing to the data set. */
static void take_listing(struct dataset *d, struct listing *l, const int64_t counts[SPLIT_COUNT])
{
	d->kind = l->kind;
	d->target = l->target;
	d->rows = l->kind == SAMPLE_TEXT ? l->n : 0;
	d->distinct_texts = l->distinct_texts;
	d->repeated_texts = l->repeated_texts;
	d->contradicting_texts = l->contradicting_texts;
	d->height = l->height;
	d->width = l->width;
	d->channels = l->channels;
	d->resize = l->resize;
	d->to_grey = l->to_grey;
	d->pairs = l->pairs;
	d->classes = l->classes;
	d->class_name = l->class_name;
	l->class_name = NULL;
	d->skipped = l->skipped;
	l->skipped = (struct skipped){0};
	d->notes = l->notes;
	l->notes = (struct data_notes){0};
	for (int s = 0; s < SPLIT_COUNT; s++)
		d->n[s] = counts[s];
}

static int take_labels(struct dataset *d, const struct listing *l, int s)
{
	struct split_data *to = &d->split[s];
	size_t classes = (size_t)d->classes;

	if (d->target == TARGET_SET)
		to->label_set = mem_alloc((size_t)d->n[s], classes);
	else
		to->label = mem_alloc((size_t)d->n[s], sizeof(int32_t));
	if (!to->label && !to->label_set)
		return ERR_NOMEM;
	for (int64_t i = 0; i < l->n; i++) {
		const struct sample *one = &l->sample[i];

		if (one->split != s)
			continue;
		if (d->target == TARGET_SET) {
			memcpy(to->label_set + (size_t)one->place * classes, l->set + (size_t)i * classes, classes);
		} else {
			assert(one->label >= 0 && one->label < d->classes); /* every source checks what it reads */
			to->label[one->place] = one->label;
		}
	}
	return 0;
}

static int take_files(struct dataset *d, struct listing *l, int s)
{
	struct split_data *to = &d->split[s];
	bool named = false;

	for (int64_t i = 0; i < l->n; i++)
		named = named || (l->sample[i].split == s && l->sample[i].file);
	if (!named)
		return 0;
	to->file = mem_alloc((size_t)d->n[s], sizeof(char *));
	if (!to->file)
		return ERR_NOMEM;
	for (int64_t i = 0; i < l->n; i++) {
		if (l->sample[i].split == s) {
			to->file[l->sample[i].place] = l->sample[i].file;
			l->sample[i].file = NULL;
		}
	}
	return 0;
}

static int take_prints(struct dataset *d, const struct listing *l, int s)
{
	struct split_data *to = &d->split[s];
	to->print = mem_alloc((size_t)d->n[s], sizeof(*to->print));
	if (!to->print)
		return ERR_NOMEM;
	for (int64_t i = 0; i < l->n; i++)
		if (l->sample[i].split == s)
			to->print[l->sample[i].place] = l->sample[i].print;
	return 0;
}

static int take_pixels(struct dataset *d, const struct listing *l, int s)
{
	struct split_data *to = &d->split[s];
	to->row = mem_alloc((size_t)d->n[s], sizeof(*to->row));
	if (!to->row)
		return ERR_NOMEM;
	for (int64_t i = 0; i < l->n; i++)
		if (l->sample[i].split == s)
			to->row[l->sample[i].place] = (uint32_t)i;
	to->pixels = d->store->base;
	return 0;
}

/* The samples of a split are in order of their places. */
static int take_texts(struct dataset *d, const struct listing *l, int s)
{
	struct split_data *to = &d->split[s];
	size_t bytes = 0;
	char *p;

	for (int64_t i = 0; i < l->n; i++)
		bytes += l->sample[i].split == s ? l->sample[i].bytes + 1 : 0;
	to->text_start = mem_alloc((size_t)d->n[s] + 1, sizeof(int64_t));
	to->text = p = mem_alloc(bytes, 1);
	if (!p || !to->text_start)
		return ERR_NOMEM;
	for (int64_t i = 0; i < l->n; i++) {
		const struct sample *one = &l->sample[i];

		if (one->split != s)
			continue;
		memcpy(p, one->text, one->bytes);
		p += one->bytes + 1;
		to->text_start[one->place + 1] = p - to->text;
	}
	return 0;
}

static int check_augment(const struct listing *d, const struct augment_options *a)
{
	int side = d->height < d->width ? d->height : d->width;

	if (a->rotate90 && d->height != d->width)
		return err_set(
		    ERR_CONFIG, "data.augment.rotate90 needs square images; these are %d x %d", d->height, d->width);
	if (a->crop_padding >= side)
		return err_set(ERR_CONFIG, "data.augment.crop_padding is %lld; images of %d x %d allow at most %d",
		    (long long)a->crop_padding, d->height, d->width, side - 1);
	if (d->channels != 3 && (a->saturation > 0 || a->hue > 0))
		return err_set(ERR_CONFIG,
		    "data.augment.%s has no effect on images of %d channel%s; it is of colours (3 channels)",
		    a->hue > 0 ? "hue" : "saturation", d->channels, d->channels == 1 ? "" : "s");
	return 0;
}

/* The test split need not be there until somebody asks for it. */
static int check_splits(const struct dataset *d, const struct source_args *a)
{
	for (int s = a->only_test ? SPLIT_TEST : 0; s < SPLIT_COUNT; s++)
		if (d->n[s] == 0 && (s != SPLIT_TEST || a->with_test))
			return err_set(ERR_DATA, "the data set has no %s split", split_names[s]);
	return 0;
}

/* Rows that the source leaves out stay out. */
static void give_all_to_test(struct listing *l)
{
	l->only_test = true;
	for (int64_t i = 0; i < l->n; i++)
		if (l->sample[i].split != SPLIT_DROP)
			l->sample[i].split = SPLIT_TEST;
}

int source_put(struct listing *l, struct pixels *p, int64_t first, int64_t n, const uint8_t *pixels)
{
	for (int64_t i = 0; i < n; i++) {
		const struct sample_view v = {.kind = SAMPLE_IMAGE,
		    .pixels = pixels + (size_t)i * p->bytes,
		    .height = l->height,
		    .width = l->width,
		    .channels = l->channels};
		int rc = print_sample(&v, &l->sample[first + i].print);

		if (rc)
			return rc;
	}
	return pixels_put(p, first, n, pixels);
}

static int list(struct listing *l, const struct source_args *a, const char *place)
{
	int rc;

	l->only_test = a->only_test;
	rc = sources[a->o->source]->list(l, a);
	if (rc)
		return rc;
	if (l->n == 0)
		return err_set(ERR_DATA, "%s: the data set has no samples", place);
	if (a->only_test)
		give_all_to_test(l);
	if (l->target == TARGET_CLASS && l->classes < 2 && !a->only_test)
		return err_set(ERR_DATA, "%s: all samples are of one class", place);
	if (l->classes < 1)
		return err_set(ERR_DATA, "%s: no sample has a label", place);
	rc = listing_check_names(l, place);
	if (!rc)
		rc = listing_note_spelling(l);
	if (rc)
		return rc;
	return l->kind == SAMPLE_IMAGE ? check_augment(l, &a->o->augment) : 0;
}

static int load_pixels(struct dataset *d, struct listing *l, const struct source_args *a)
{
	int rc;

	d->store = mem_alloc(1, sizeof(*d->store));
	if (!d->store)
		return ERR_NOMEM;
	rc = pixels_open(d->store, a->o, l->n, (size_t)l->height * (size_t)l->width * (size_t)l->channels);
	if (!rc)
		rc = sources[a->o->source]->load(l, a, d->store);
	return !rc ? pixels_seal(d->store) : rc;
}

static int take_samples(struct dataset *d, struct listing *l, const struct source_args *a)
{
	int rc = 0;

	for (int s = a->only_test ? SPLIT_TEST : 0; s < SPLIT_COUNT && !rc; s++) {
		if (d->n[s] == 0)
			continue;
		rc = d->kind == SAMPLE_TEXT ? take_texts(d, l, s) : take_pixels(d, l, s);
		if (!rc)
			rc = take_labels(d, l, s);
		if (!rc)
			rc = take_files(d, l, s);
		if (!rc)
			rc = take_prints(d, l, s);
	}
	if (!rc)
		rc = split_hashes(d);
	if (!rc && !a->only_test)
		rc = find_duplicates(d);
	if (!rc && d->store)
		pixels_shuffle(d->store);
	return rc;
}

static int open_listed(struct dataset *out, struct listing *l, const struct source_args *a, uint64_t seed)
{
	int64_t counts[SPLIT_COUNT];
	const char *place = a->o->path ? a->o->path : "data";
	int rc = list(l, a, place);

	if (!rc && l->kind == SAMPLE_IMAGE)
		rc = load_pixels(out, l, a);
	if (rc)
		return rc;
	rc = split_assign(l, a->o, seed, counts);
	if (!rc) {
		take_listing(out, l, counts);
		rc = check_splits(out, a);
	}
	if (rc)
		return err_context(rc, "%s", place);
	return take_samples(out, l, a);
}

static int open_source(struct dataset *out, const struct source_args *a, uint64_t seed)
{
	struct listing l = {0};
	int rc;

	*out = (struct dataset){.duplicates_train_val = -1, .duplicates_train_test = -1, .duplicates_val_test = -1};
	rc = open_listed(out, &l, a, seed);
	sources[a->o->source]->release(&l);
	/* The class names were counted by the listing; once taken they are the data set's. */
	skipped_clear(&l.skipped);
	listing_clear(&l);
	if (rc)
		dataset_close(out);
	else if (!a->with_test)
		dataset_hide_test(out);
	return rc;
}

int dataset_open(struct dataset *out, const struct data_options *o, const char *base_dir, uint64_t seed, bool with_test)
{
	const struct source_args a = {.o = o, .base_dir = base_dir, .with_test = with_test};

	return open_source(out, &a, seed);
}

int dataset_open_all(struct dataset *out, const struct data_options *o, const char *base_dir)
{
	const struct source_args a = {.o = o, .base_dir = base_dir, .with_test = true, .only_test = true};

	return open_source(out, &a, 0);
}

bool dataset_has(const struct dataset *d, enum split s)
{
	return d->kind == SAMPLE_TEXT ? d->split[s].text != NULL : d->split[s].pixels != NULL;
}

const char *samples_word(enum sample_kind kind, bool pairs)
{
	return kind == SAMPLE_IMAGE ? "images" : pairs ? "pairs" : "texts";
}

void sample_take_pair(struct sample_view *v)
{
	const size_t all = v->bytes;

	v->bytes = strlen(v->text);
	v->pair = v->text + v->bytes + 1;
	v->pair_bytes = all - v->bytes - 1;
}

int dataset_sample(const struct dataset *d, enum split s, int64_t i, struct sample_view *out)
{
	const struct split_data *x = &d->split[s];

	*out = (struct sample_view){.kind = d->kind};
	if (!dataset_has(d, s))
		return err_set(ERR_FAIL, "the %s split is not loaded", split_names[s]);
	if (i < 0 || i >= d->n[s])
		return err_set(
		    ERR_FAIL, "sample %lld of a %s split of %lld", (long long)i, split_names[s], (long long)d->n[s]);
	if (d->kind == SAMPLE_TEXT) {
		out->text = x->text + x->text_start[i];
		out->bytes = (size_t)(x->text_start[i + 1] - x->text_start[i]) - 1;
		if (d->pairs)
			sample_take_pair(out);
		return 0;
	}
	out->height = d->height;
	out->width = d->width;
	out->channels = d->channels;
	out->pixels = x->pixels + (x->row ? x->row[i] : i) * ((int64_t)d->height * d->width * d->channels);
	return 0;
}

void dataset_read_ahead(const struct dataset *d, enum split s, const uint32_t *index, int count)
{
	if (!d->store || !d->store->in_file || !d->split[s].row)
		return;
	for (int i = 0; i < count; i++)
		pixels_read_ahead(d->store, d->split[s].row[index[i]]);
}

size_t dataset_held(const struct dataset *d, bool *in_memory)
{
	const struct pixels *p = d->store;
	struct dataset all = dataset_with_test(d);
	size_t bytes = 0;

	*in_memory = !p || !p->in_file;
	for (int s = 0; s < SPLIT_COUNT; s++)
		bytes += all.split[s].text ? (size_t)all.split[s].text_start[all.n[s]] : 0;
	return p ? (size_t)p->rows * p->bytes : bytes;
}

void skipped_clear(struct skipped *x)
{
	for (int i = 0; i < SKIPPED_LISTED_MAX; i++)
		mem_free(x->reason[i]);
	*x = (struct skipped){0};
}

static struct split_data take_out(struct dataset *d, enum split s)
{
	const struct split_data x = d->split[s];

	d->split[s] = (struct split_data){0};
	return x;
}

void dataset_hide_test(struct dataset *d)
{
	d->hidden = take_out(d, SPLIT_TEST);
}

struct dataset dataset_with_test(const struct dataset *d)
{
	struct dataset view = *d;

	if (!dataset_has(d, SPLIT_TEST))
		view.split[SPLIT_TEST] = d->hidden;
	return view;
}

static void free_split(struct split_data x, int64_t n, bool owns_pixels)
{
	if (owns_pixels)
		mem_free(x.pixels);
	mem_free(x.label);
	mem_free(x.label_set);
	mem_free(x.row);
	mem_free(x.print);
	mem_free(x.text);
	mem_free(x.text_start);
	for (int64_t i = 0; x.file && i < n; i++)
		mem_free(x.file[i]);
	mem_free(x.file);
}

void dataset_close(struct dataset *d)
{
	/* Where opening failed, a split may be there in part. */
	for (int s = 0; s < SPLIT_COUNT; s++)
		free_split(take_out(d, (enum split)s), d->n[s], !d->store);
	free_split(d->hidden, d->n[SPLIT_TEST], !d->store);
	if (d->store)
		pixels_close(d->store);
	mem_free(d->store);
	skipped_clear(&d->skipped);
	for (int c = 0; d->class_name && c < d->classes; c++)
		mem_free(d->class_name[c]);
	mem_free(d->class_name);
	notes_clear(&d->notes);
	*d = (struct dataset){0};
}

/* An input adapter turns raw samples (pixels, texts) into the named input tensors of a graph. It belongs to the model
 * and is saved with it: how pixels are normalised, or which vocabulary cuts texts, was decided when the model was
 * trained, and every later use reads it from the checkpoint, whatever data set is at hand.
 *
 * A kind of adapter is a row; adding one is its file and its row. */
#ifndef ENGINE_INPUT_ADAPTER_H
#define ENGINE_INPUT_ADAPTER_H

#include <cjson/cJSON.h>

#include "config/option.h"
#include "data/dataset.h"
#include "graph/spec.h"
#include "input/feed.h"
#include "text/wordpiece.h"

struct adapter;
struct encoding;
struct input_options;
struct mixing;

/* Random changes to training samples, drawn by counters: sample k of a step is changed alike in every split of the step
 * into micro-batches. */
struct augmentation {
	const struct augment_options *options; /* NULL: none */
	uint64_t seed;
	const char *stage;
	uint64_t step, first_sample; /* index within the step's effective batch of the batch's first sample */
	const struct mixing *mixing; /* mixup of the step's effective batch; NULL: none */
};

struct adapter_kind {
	const char *name;
	enum sample_kind takes;
	enum input_kind input;
	bool mixes; /* `fill` can mix samples (input/mixing.h) */
	/* A new model's adapter, from the options of its block and the training split. *key: the option at fault. */
	int (*make)(struct adapter *a, const struct input_options *o, const struct dataset *d,
	    const struct data_options *data, const char *base_dir, const char **key);
	/* A sample from bytes that come from outside, of an image file or a text; NULL: there is no such way. *held
	 * owns what the view points to (mem_free), and is NULL after an error. *changes: what was done to an image,
	 * bits of enum image_conversion (data/image_fit.h). ERR_DATA "NAME: ...": it is no such sample. */
	int (*read)(const struct adapter *a, const char *name, const void *bytes, size_t n, void **held,
	    struct sample_view *out, unsigned *changes);
	/* ERR_DATA "NAME: ..." unless the sample can be encoded. */
	int (*check)(const struct adapter *a, const struct sample_view *v, const char *name);
	/* Prepares all samples of an encoding; NULL: nothing to prepare. */
	int (*prepare)(struct encoding *e);
	/* What a batch of these samples needs; count of at most shape->sequences, which is set. index NULL: any batch
	 * of `count` samples. */
	void (*measure)(const struct encoding *e, const uint32_t *index, int count, struct build_shape *shape);
	/* Fills the feed for `shape` with `count` samples; what is left of the shape is padding that no figure sees. */
	int (*fill)(const struct encoding *e, const uint32_t *index, int count, const struct build_shape *shape,
	    const struct augmentation *g, struct feed *f);
	/* Input tensors of this shape from random numbers, for timing. */
	int (*random)(const struct adapter *a, uint64_t seed, const struct build_shape *shape, struct feed *f);
	/* The shape that a timing uses where no samples are at hand; NULL: `sequences` alone says it. */
	void (*typical)(const struct adapter *a, int sequences, struct build_shape *shape);
	int (*to_json)(const struct adapter *a, cJSON *json);
	/* dir: the checkpoint's folder, where the adapter's files are. */
	int (*from_json)(struct adapter *a, const cJSON *json, const char *dir);
	int (*save)(const struct adapter *a, const char *dir);    /* its files; NULL: it has none */
	int (*hash)(const struct adapter *a, struct hash *h);     /* all that decides its tensors */
	void (*describe)(const struct adapter *a, char buf[160]); /* "28 x 28 images of 1 channel" */
};

/* The block `input` of a model: what its adapter is made from. Images need none of it. */
struct input_options {
	int kind; /* index into adapter_kind_choices */
	char *vocabulary;
	int64_t vocabulary_size, min_count, longest;
	bool lowercase, clean_text, handle_chinese_chars, keep_faults;
	int strip_accents; /* enum wordpiece_accents */
};
extern const struct option input_option_table[];

/* What texts are cut with; shared by the copies of an adapter. */
struct text_coder {
	int users;
	struct vocabulary vocabulary;
	struct wordpiece_options options;
	struct wordpiece wordpiece;
};

struct adapter {
	const struct adapter_kind *kind; /* NULL: empty */
	struct input_spec spec;          /* what a graph must know */
	enum image_resize resize;        /* images: how those of another size are brought to this one */
	bool to_grey;                    /* images: whether colour becomes grey for 1 channel, or is an error */
	float mean[4], std[4];           /* images: per channel, of the 0..1 scale */
	char norm_source[16];            /* images: "config", "train split"; "bytes": pixels are integers */
	struct text_coder *coder;        /* texts */
};

/* The first kind that takes such samples. */
const struct adapter_kind *adapter_kind_of(enum sample_kind kind);
/* "auto", then every kind by name, NULL-terminated. Written by adapter_kind_register alone. */
extern const char *adapter_kind_choices[];
/* Adds a kind, before options or checkpoints are read; `kind` must live as long as the program. Where its samples have
 * a kind already, a config names it as `kind` of a model's block `input`. ERR_FAIL: there are too many. */
int adapter_kind_register(const struct adapter_kind *kind);

int adapter_make(struct adapter *out, const struct input_options *o, const struct dataset *d,
    const struct data_options *data, const char *base_dir, const char **key);
/* Of texts, by a vocabulary that is there already. The vocabulary is taken over: *v is empty afterwards. */
int adapter_of_vocabulary(struct adapter *out, struct vocabulary *v, const struct wordpiece_options *o, int longest);
/* Whether its samples are pairs of texts. ERR_CONFIG: its `longest` has no room for both. */
int adapter_take_pairs(struct adapter *a, bool pairs);
int adapter_copy(struct adapter *out, const struct adapter *a);
void adapter_clear(struct adapter *a);
/* Field "kind" and the kind's own. NULL with the error set. */
cJSON *adapter_to_json(const struct adapter *a);
int adapter_from_json(struct adapter *out, const cJSON *json, const char *dir); /* strict; ERR_CHECKPOINT */
/* Writes the adapter's files (a vocabulary) into the checkpoint's folder. */
int adapter_save(const struct adapter *a, const char *dir);
/* Images: how files become its samples. */
struct image_fit adapter_image_fit(const struct adapter *a);
/* Images: an adapter that takes only images of its size takes others too, as the data set resizes them. */
void adapter_take_resize(struct adapter *a, const struct dataset *d);
/* One hash of all that decides its tensors. */
int adapter_key(const struct adapter *a, char hex[HASH_HEX]);
/* ERR_CONFIG: a change that its vocabulary has no token for. */
int adapter_check_augment(const struct adapter *a, const struct augment_options *o);
/* ERR_DATA naming `name` unless the adapter can encode the samples of a data set. */
int adapter_check_data(const struct adapter *a, const struct dataset *d, const char *name);

extern const struct adapter_kind adapter_image, adapter_text;

#endif

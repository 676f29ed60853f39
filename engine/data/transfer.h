/* Transfer texts: texts without labels, from which a student learns what its teacher says of them. They are read when a
 * run is planned, and never again. Each content is taken once; what is also in a split of the data set is left out: a
 * validation or test text must not be trained on, and of a training text the teacher is asked anyway. */
#ifndef ENGINE_DATA_TRANSFER_H
#define ENGINE_DATA_TRANSFER_H

#include "data/prints.h"

struct transfer_options {
	struct option_strings files; /* .csv, .tsv, .tab, .jsonl; others have a text a line */
	/* Of the texts, and of the second ones of pairs, in tables; NULL: those of the data set, or of usual names. */
	char *column, *pair_column;
};

/* A zeroed struct is empty. */
struct transfer {
	char *text;           /* as in struct dataset: text or pair i is text + start[i], with a NUL byte behind it */
	int64_t *start;       /* (n + 1) */
	uint64_t *print;      /* (n) */
	int64_t n, cap, rows; /* taken; room; read */
	bool pairs;
	size_t bytes, room;                             /* of text */
	int64_t empty, repeated, in_split[SPLIT_COUNT]; /* left out */
	char hash[HASH_HEX];                            /* of what was taken, in order */
};
/* data: the set that they go with, with or without its test split; texts, or pairs: then they are pairs, too. like: its
 * options; files of tables are read with its quotes, delimiter and encoding. ERR_DATA: a file that cannot be read, with
 * the place; nothing is left; ERR_CONFIG: the data set is of images. */
int transfer_read(struct transfer *out, const struct transfer_options *o, const struct data_options *like,
    const char *base_dir, const struct dataset *data);
/* "5000 transfer texts of 5120 in 2 files; left out: ..." */
void transfer_words(const struct transfer *t, char *text, size_t cap);
/* Of all texts, ascending. */
int transfer_prints(const struct transfer *t, struct prints *out);
cJSON *transfer_to_json(const struct transfer *t);
void transfer_clear(struct transfer *t);

/* The label of a sample that has none, in `label` and in each of its places in `label_set`. */
#define LABEL_NONE     (-1)
#define LABEL_SET_NONE 255

/* `d` with the texts of `t` behind its training samples: a view, but for what it owns of that split. */
int dataset_join_transfer(struct dataset *out, const struct dataset *d, const struct transfer *t);
void dataset_leave_transfer(struct dataset *view);

#endif

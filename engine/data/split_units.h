/* Private to engine/data: the distinct contents of a listing, which splits are cut from (split.c). */
#ifndef ENGINE_DATA_SPLIT_UNITS_H
#define ENGINE_DATA_SPLIT_UNITS_H

#include "data/source.h"

/* A distinct content. */
struct unit {
	uint64_t print, rank;
	int64_t copy;       /* which of the rows of a content that is cut apart; else 0 */
	int64_t first, n;   /* its rows: key[first .. first + n - 1] */
	int32_t label;      /* TARGET_CLASS: the one that most of its rows have; TARGET_SET: 0 */
	const uint8_t *set; /* TARGET_SET: what any of its rows has */
	int part, split;    /* the cutter's, as rank is */
};

/* A row: one sample of the listing. */
struct row_key {
	uint64_t print;
	struct sample *sample;
	int64_t row;
};

struct units {
	struct listing *l;
	struct row_key *key; /* by content, l->n */
	struct unit *unit;   /* in the order of their keys */
	int64_t n;
	uint8_t *set; /* TARGET_SET: l->n x classes */
};

/* The units of all samples that the source has put into no split; those that it has dropped have no content. Counts the
 * contents in the listing. Of images, a class with fewer units than `needed`, so that every split has one, but rows
 * enough, is cut by rows, and the listing has a note of it. Owned; to be cleared after an error too. */
int units_make(struct units *all, struct listing *l, int64_t needed);
void units_clear(struct units *all);

#endif

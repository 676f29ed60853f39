/* What was left out of a data set, or may have been meant otherwise: counts with the first names of each kind. */
#ifndef ENGINE_DATA_NOTES_H
#define ENGINE_DATA_NOTES_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum note_kind {
	NOTE_SUFFIX,   /* a file that is no image by its suffix */
	NOTE_NESTED,   /* an image in a folder inside a class folder */
	NOTE_LOOSE,    /* an image outside of the class folders */
	NOTE_UNNAMED,  /* an image in a folder that is not named for a split */
	NOTE_EMPTY,    /* a class folder without an image */
	NOTE_LINK,     /* a link that leads nowhere, or to a folder around itself */
	NOTE_SPECIAL,  /* a FIFO, device or socket; inside a class folder, a folder called like an image */
	NOTE_HIDDEN,   /* a name that begins with a dot, and what operating systems leave behind */
	NOTE_ROW,      /* a row of the index whose archive is not configured */
	NOTE_SPLIT,    /* a column that may be meant to name the splits, but holds other words */
	NOTE_FOLD,     /* a column of numbers of folds that no option names */
	NOTE_FIELD,    /* a field of JSON Lines that names splits, which are read from columns alone */
	NOTE_COPIES,   /* not left out: a class of images whose copies are in different splits */
	NOTE_SPELLING, /* not left out: classes whose names differ in spelling alone */
	NOTE_FOUND,    /* not left out: what no option says and was found out, a sentence each */
	/* Not left out: images that were converted, in the order of enum image_conversion. */
	NOTE_RESIZED,
	NOTE_TURNED,
	NOTE_GREY,
	NOTE_COLOUR,
	NOTE_CMYK,
	NOTE_16_BIT,
	NOTE_BLENDED,
	NOTE_FAULT,
	NOTE_PAGE,
	NOTE_KINDS
};
#define NOTE_NAMES 5 /* kept of each kind */

/* A zeroed struct is empty. */
struct data_notes {
	struct {
		int64_t n;
		char *name[NOTE_NAMES]; /* printable, see text/escape.h; owned */
	} of[NOTE_KINDS];
};
int note_add(struct data_notes *n, enum note_kind kind, const char *name);
void notes_clear(struct data_notes *n);
/* "8 files of other suffixes (cat/a.bmp, ...), 1 broken link (fox)"; nothing if nothing was passed over. *serious:
 * samples or classes may be missing. */
void notes_passed_over(const struct data_notes *n, struct str *out, bool *serious);
/* The same of what was converted: "12 images resized (cat/a.jpg, ...)". */
void notes_converted(const struct data_notes *n, struct str *out);
/* The same as objects, of all but what was converted, or of that: per kind that occurs {"count", "first": [names]}.
 * NULL: out of memory. */
cJSON *notes_to_json(const struct data_notes *n, bool converted);
/* Notes what was found out. Sentences of more than 400 bytes are cut. */
int note_found(struct data_notes *n, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Notes so many, by one text in the place of their names. */
int note_all(struct data_notes *n, enum note_kind kind, int64_t count, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif

#include "data/notes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "text/escape.h"

#define NAME_SHOWN  120 /* bytes of a name */
#define FOUND_SHOWN 400 /* bytes of a sentence */

static const struct {
	const char *key, *one, *many;
	bool serious;
} kinds[NOTE_KINDS] = {
    [NOTE_SUFFIX] = {"other_suffix", "file of another suffix", "files of other suffixes", true},
    [NOTE_NESTED] = {"nested", "image deeper than its class folder", "images deeper than their class folder", true},
    [NOTE_LOOSE] = {"loose", "image outside of the class folders", "images outside of the class folders", true},
    [NOTE_UNNAMED] = {"no_split", "image in a folder that no split names", "images in folders that no split names",
	true},
    [NOTE_EMPTY] = {"empty_folder", "class folder without an image", "class folders without an image", true},
    [NOTE_LINK] = {"broken_link", "broken link", "broken links", true},
    [NOTE_SPECIAL] = {"no_file", "entry that is no file", "entries that are no files", false},
    [NOTE_HIDDEN] = {"hidden", "hidden entry", "hidden entries", false},
    [NOTE_ROW] = {"other_archive", "row of an archive that is not listed", "rows of archives that are not listed",
	false},
    [NOTE_SPLIT] = {"no_split_column", "column that names no splits for its other words",
	"columns that name no splits for their other words", true},
    [NOTE_FOLD] = {"no_fold_column", "column of folds that data.fold_column does not name",
	"columns of folds that data.fold_column does not name", true},
    [NOTE_FIELD] = {"split_field", "field that names splits, as only columns of CSV do",
	"fields that name splits, as only columns of CSV do", true},
    [NOTE_COPIES] = {"copies_apart", "class", "classes", true},
    [NOTE_FOUND] = {"found", "choice", "choices", false},
    [NOTE_SPELLING] = {"same_spelling", "label", "labels", true},
    [NOTE_RESIZED] = {"resized", "image resized", "images resized", false},
    [NOTE_TURNED] = {"turned", "image turned by its EXIF orientation", "images turned by their EXIF orientation",
	false},
    [NOTE_GREY] = {"to_grey", "colour image made grey", "colour images made grey", false},
    [NOTE_COLOUR] = {"to_colour", "grey image repeated as colour", "grey images repeated as colour", false},
    [NOTE_CMYK] = {"cmyk", "image converted from CMYK", "images converted from CMYK", false},
    [NOTE_16_BIT] = {"16_bit", "image of 16 bits rounded to 8", "images of 16 bits rounded to 8", false},
    [NOTE_BLENDED] = {"blended", "transparent image blended with white", "transparent images blended with white",
	false},
    [NOTE_FAULT] = {"faults", "JPEG file with faults that change no pixel",
	"JPEG files with faults that change no pixel", false},
    [NOTE_PAGE] = {"first_page", "file of several pages read to its first",
	"files of several pages read to their first", false},
};

/* Shortens a name before a character of it. */
static void cut(struct str *text, size_t n)
{

	if (text->len <= n)
		return;
	while (n > 0 && ((unsigned char)text->text[n] & 0xc0) == 0x80)
		n--;
	text->text[n] = '\0';
	text->len = n;
	str_add(text, "...");
}

int note_add(struct data_notes *n, enum note_kind kind, const char *name)
{
	int64_t at = n->of[kind].n++;
	struct str text = {0};

	if (at >= NOTE_NAMES)
		return 0;
	escape_add(&text, name, strlen(name));
	cut(&text, kind == NOTE_FOUND ? FOUND_SHOWN : NAME_SHOWN);
	n->of[kind].name[at] = text.failed ? NULL : mem_strdup(str_text(&text));
	str_clear(&text);
	return n->of[kind].name[at] ? 0 : err_set(ERR_NOMEM, "out of memory");
}

int note_found(struct data_notes *n, const char *format, ...)
{
	char text[4 * FOUND_SHOWN];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return note_add(n, NOTE_FOUND, text);
}

int note_all(struct data_notes *n, enum note_kind kind, int64_t count, const char *format, ...)
{
	char text[NAME_SHOWN];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	int rc = note_add(n, kind, text);
	n->of[kind].n += count - 1;
	return rc;
}

void notes_clear(struct data_notes *n)
{
	for (int k = 0; k < NOTE_KINDS; k++)
		for (int i = 0; i < NOTE_NAMES; i++)
			mem_free(n->of[k].name[i]);
	*n = (struct data_notes){0};
}

static void add_kinds(const struct data_notes *n, int from, int end, struct str *out, bool *serious)
{
	bool any = false;

	for (int k = from; k < end; k++) {
		int64_t count = n->of[k].n;

		if (count == 0)
			continue;
		*serious = *serious || kinds[k].serious;
		str_addf(out, "%s%" PRId64 " %s (", any ? ", " : "", count, count == 1 ? kinds[k].one : kinds[k].many);
		for (int i = 0; i < NOTE_NAMES && n->of[k].name[i]; i++)
			str_addf(out, "%s%s", i ? ", " : "", n->of[k].name[i]);
		str_add(out, count > NOTE_NAMES && n->of[k].name[NOTE_NAMES - 1] ? ", ...)" : ")");
		any = true;
	}
}

void notes_passed_over(const struct data_notes *n, struct str *out, bool *serious)
{
	*serious = false;
	add_kinds(n, 0, NOTE_COPIES, out, serious);
}

void notes_converted(const struct data_notes *n, struct str *out)
{
	bool serious = false;

	add_kinds(n, NOTE_RESIZED, NOTE_KINDS, out, &serious);
}

cJSON *notes_to_json(const struct data_notes *n, bool converted)
{
	const int from = converted ? NOTE_RESIZED : 0, end = converted ? NOTE_KINDS : NOTE_RESIZED;
	cJSON *json = cJSON_CreateObject();
	bool ok = json;

	for (int k = from; k < end && ok; k++) {
		cJSON *one, *first;

		if (n->of[k].n == 0)
			continue;
		one = cJSON_AddObjectToObject(json, kinds[k].key);
		ok = one && cJSON_AddNumberToObject(one, "count", (double)n->of[k].n);
		first = ok ? cJSON_AddArrayToObject(one, "first") : NULL;
		ok = first;
		for (int i = 0; i < NOTE_NAMES && n->of[k].name[i] && ok; i++) {
			cJSON *name = cJSON_CreateString(n->of[k].name[i]);

			ok = name && cJSON_AddItemToArray(first, name);
		}
	}
	if (ok)
		return json;
	cJSON_Delete(json);
	return NULL;
}

/* Private to engine/data: the parts of the sources of texts.
 *
 *   texts_csv.c, texts_jsonl.c, texts_phrasebank.c   read a file into rows: a text and what stands for its label
 *   texts_file.c      what the readers share
 *   texts_classes.c   names the classes and turns each row's label into a class or a set
 *   texts.c           puts them together
 *
 * The strings stay where the reader put them until the listing is released. */
#ifndef ENGINE_DATA_TEXTS_H
#define ENGINE_DATA_TEXTS_H

#include "base/fs.h"
#include "data/columns.h"
#include "data/csv.h"
#include "data/source.h"

enum label_form {
	LABEL_ONE,     /* one value: the name of the class, or its number */
	LABEL_COLUMNS, /* one value per class: "0" or "1" */
	LABEL_NAMES,   /* any number of values: the names of the classes that hold */
};

struct text_row {
	/* Not NUL-terminated; of a pair both texts with a NUL byte between them, which no text holds. */
	const char *text;
	size_t bytes;
	size_t value; /* its first value in text_file.value */
	int n_value;
	int line;  /* where it begins, 1-based */
	int split; /* text_file.by_row: enum split, or SPLIT_NONE */
};

/* One file. A reader fills csv or strings, row, value and form; `path` is given. */
struct text_file {
	char path[1024];
	int split; /* enum split, or SPLIT_NONE */
	/* Given where no other file is there, and a column may name the splits: those of the listing. */
	struct data_notes *notes;
	bool by_row;     /* a column names the splits */
	char found[320]; /* what no option says, in words: the columns, the delimiter; "" if all is as usual */
	bool unlabelled; /* given: only the texts are read, and they may be empty */
	bool pairs;      /* each row is two texts; given for a file without columns */
	/* Given: what messages call the options that name the columns; NULL: as in the block `data`. */
	const char *text_option, *pair_option;
	enum label_form form;
	struct csv csv;
	char *strings;
	struct text_row *row;
	int64_t n, cap;
	const char **value;
	size_t n_value, cap_value;
};

/* ERR_DATA: "PATH:LINE: ..." or "PATH:LINE:COLUMN: ...". */
int texts_read_csv(struct text_file *f, const struct data_options *o);
int texts_read_jsonl(struct text_file *f, const struct data_options *o);
int texts_read_phrasebank(struct text_file *f, const struct data_options *o);

/* The bytes of the file as UTF-8; fs_bytes_clear them in any case. ERR_DATA, see encoding_to_utf8. */
int text_file_read(const struct text_file *f, enum data_encoding e, const char *way_out, struct fs_bytes *b);
/* A walk over lines ended by LF or CRLF. A byte order mark in front and empty lines at the end are left out. */
struct text_lines {
	char *p, *end;
	int line; /* the number of the line that text_next_line gave, from 1 */
};
struct text_lines text_lines(char *bytes, size_t n);
bool text_next_line(struct text_lines *l, char **p, size_t *n);

/* Leaves out the blanks at the ends of a text. */
void text_strip(const char **text, size_t *bytes);
/* Adds to what was found out: "KEY: NAME". */
void text_file_found(struct text_file *f, const char *key, const char *name);
/* Appends a row without values; the blanks at the ends of the text are left out. ERR_DATA: nothing is left. */
int text_file_add(struct text_file *f, int line, const char *text, size_t bytes);
/* The same of two texts, which are put together at `at`: there is room for both and two bytes more; it may be `a`, if b
 * lies behind it. ERR_DATA: one of them is empty. */
int text_file_add_pair(struct text_file *f, int line, char *at, const char *a, const char *b);
/* Appends a value to the last row; the string is cut at its trailing blanks. */
int text_file_value(struct text_file *f, char *value);
void text_file_clear(struct text_file *f);

/* Which of n names an option means: the given one, or else the only one of `usual` that is there. ERR_DATA names
 * those that there are; `where` is FILE:LINE, `what` the option's meaning in words. usual: see columns.h. */
int text_choose(const char *where, const char *what, const char *option, const char *given, const char *const *usual,
    const char *const *name, int n, int *out);
/* Which of n names are the texts'; pair -1: samples are single texts. By the options; else, unless o->pairs says
 * otherwise, two columns that usually belong together, where no other column may be the text. ERR_DATA as above. */
struct text_columns {
	int text, pair;
};
int text_choose_columns(const char *where, const struct text_file *f, const struct data_options *o,
    const char *const *name, int n, struct text_columns *out);
/* ERR_DATA: a label's column is a text's. */
int text_check_label(const char *where, const struct text_columns *c, int label, const char *const *name);
/* Says which columns were found, but for names that go without saying. */
void text_columns_found(
    struct text_file *f, const struct data_options *o, const struct text_columns *c, const char *const *name, int n);
/* A list of names for messages: "a, b, c, ... (70 in all)". */
struct str;
void text_list_names(struct str *out, const char *const *name, int n);

/* Names the classes of the listing by the options, else by the rows of the first file, which is the one for training,
 * and adds every row of every file as a sample. */
int texts_label(struct listing *l, const struct text_file *file, int n_file, const struct data_options *o);

#endif

/* Whether the numbers of a Markdown text are still those of the result files that it names. Before a table stands
 *
 *   <!-- check results/digits.json rows
 *   row model = model
 *   acc % = mean*100 sd*100
 *   smaller = ^bytes/bytes
 *   -->
 *
 * The first line names a JSON file, relative to the text, and the list in it whose objects are the table's rows ("." is
 * the file itself). `row COLUMN = FIELD`: a table row belongs to the object whose FIELD is the text of its cell;
 * several such lines must all hold; without one, rows are taken in order, and all objects must have one. `skip COLUMN =
 * PATTERN` (with * and ?): such rows of the table are not of this file. `COLUMN = TERM...`: the cell's numbers, in
 * order. A term is a field (members of members with dots), a number, or several of both with * and / from left to
 * right; ^FIELD is that of the table's first row. A number is right if the term rounds to it at the digits that are
 * printed. Where a field is null or not there the cell must hold no number. A term may be followed by a unit in quotes,
 * 'MB', which must then stand behind the number; without one no unit of bytes, time or per cent may.
 *
 * A number in a sentence has its comment behind it, on the same line, with nothing but its unit between:
 *
 *   The student reaches 97.87 % <!-- check results/digits.json: rows[model=student].mean*100 '%' --> of the samples.
 *
 * The term is of the whole file; [FIELD=TEXT] is the one object of a list that has it (check_term.h). */
#ifndef STUDY_CHECK_H
#define STUDY_CHECK_H

struct check_result {
	int blocks, sentences, numbers, wrong; /* blocks: tables; sentences: numbers in running text */
};
/* ERR_GATE: numbers that do not match, each of them said on standard error as "FILE:LINE: ...". ERR_CONFIG: a mark-up
 * that makes no sense, a column that is not there, a row that no object or several belong to, a line that checks
 * no number, a text that has no mark-up. ERR_IO, ERR_CHECKPOINT: a file cannot be read. */
int check_file(const char *path, struct check_result *out);

#endif

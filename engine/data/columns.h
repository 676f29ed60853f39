/* Private to engine/data: finding columns by the names that people usually give them. */
#ifndef ENGINE_DATA_COLUMNS_H
#define ENGINE_DATA_COLUMNS_H

#include <stdbool.h>

/* Lists of names, most telling ones first: groups that end in NULL, and an empty group behind the last. */
extern const char *const columns_of_text[], *const columns_of_label[], *const columns_of_split[];
extern const char *const columns_of_fold[];
extern const char *const columns_of_file[], *const columns_of_number[], *const columns_of_class[];

/* The columns of `header` whose name is in the first `groups` groups of `usual`: of the first group that has any, how
 * many there are, the first of them in *out. Case makes no difference, nor do '_', '-' and a blank. */
int columns_find(const char *const *header, int n, const char *const *usual, int groups, int *out);
/* Columns of two texts by names that belong together, such as premise and hypothesis: how many such pairs there are,
 * with each of several columns of one name, the first of them in *first and *second. */
int columns_find_pair(const char *const *header, int n, int *first, int *second);
/* The column whose usual partner is called `second`, or -1: there is none, or more than one. */
int columns_partner(const char *const *header, int n, const char *second);
/* Whether a name is the first group's, letter by letter: what needs no saying. */
bool columns_is_plain(const char *name, const char *const *usual);

#endif

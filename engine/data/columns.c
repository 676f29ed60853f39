#include "data/columns.h"

#include <ctype.h>
#include <string.h>

const char *const columns_of_text[] = {
    "text", "sentence", "comment", NULL, "review", "content", "message", "tweet", "body", NULL, NULL};
const char *const columns_of_label[] = {
    "label", "class", NULL, "category", "target", "sentiment", "label_name", "class_name", NULL, NULL};
const char *const columns_of_split[] = {"split", NULL, "subset", "partition", "set", "fold", NULL, NULL};
const char *const columns_of_fold[] = {"fold", "folds", "fold_id", "kfold", "cv_fold", NULL, NULL};
const char *const columns_of_file[] = {"file", NULL, "filename", "path", "filepath", "image", "image_path",
    "image_file", "image_name", "img", "img_path", "img_name", NULL, NULL};
const char *const columns_of_number[] = {
    "label", NULL, "target", "label_id", "class_id", "category_id", "label_index", "class_index", NULL, NULL};
const char *const columns_of_class[] = {"class", NULL, "category", "class_name", "label_name", NULL, NULL};

static const char *const pairs_of_texts[][2] = {{"sentence1", "sentence2"}, {"text1", "text2"},
    {"question1", "question2"}, {"text_a", "text_b"}, {"sentence_a", "sentence_b"}, {"premise", "hypothesis"},
    {"question", "sentence"}, {"query", "passage"}};
#define PAIRS (int)(sizeof(pairs_of_texts) / sizeof(pairs_of_texts[0]))

/* The next character that counts. */
static int next(const char **p)
{
	while (**p == '_' || **p == '-' || **p == ' ')
		(*p)++;
	return **p ? tolower((unsigned char)*(*p)++) : 0;
}

static bool equal(const char *a, const char *b)
{
	int x, y;

	do {
		x = next(&a);
		y = next(&b);
	} while (x == y && x != 0);
	return x == y;
}

static bool in_group(const char *name, const char *const *group)
{
	for (; *group; group++)
		if (equal(name, *group))
			return true;
	return false;
}

int columns_find(const char *const *header, int n, const char *const *usual, int groups, int *out)
{
	int found = 0;

	for (int g = 0; g < groups && *usual && !found; g++) {
		for (int i = n - 1; i >= 0; i--) {
			if (!in_group(header[i], usual))
				continue;
			*out = i;
			found++;
		}
		while (*usual)
			usual++;
		usual++;
	}
	return found;
}

/* How many columns have that name, the first of them in *out. */
static int find(const char *const *header, int n, const char *name, int *out)
{
	int found = 0;

	for (int i = n - 1; i >= 0; i--) {
		if (!equal(header[i], name))
			continue;
		*out = i;
		found++;
	}
	return found;
}

int columns_find_pair(const char *const *header, int n, int *first, int *second)
{
	int found = 0;

	for (int i = PAIRS - 1; i >= 0; i--) {
		int a, b;
		const int firsts = find(header, n, pairs_of_texts[i][0], &a);
		const int pairs = firsts * find(header, n, pairs_of_texts[i][1], &b);

		if (pairs == 0)
			continue;
		*first = a;
		*second = b;
		found += pairs;
	}
	return found;
}

int columns_partner(const char *const *header, int n, const char *second)
{
	int first;

	for (int i = 0; i < PAIRS; i++)
		if (equal(pairs_of_texts[i][1], second))
			return find(header, n, pairs_of_texts[i][0], &first) == 1 ? first : -1;
	return -1;
}

bool columns_is_plain(const char *name, const char *const *usual)
{
	for (; *usual; usual++)
		if (strcmp(name, *usual) == 0)
			return true;
	return false;
}

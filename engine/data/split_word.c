/* The words that people use for splits: names of folders and files, fields of a table. */
#include <strings.h>

#include "data/source.h"

static const struct {
	const char *word;
	enum split split;
} words[] = {{"train", SPLIT_TRAIN}, {"training", SPLIT_TRAIN}, {"val", SPLIT_VAL}, {"valid", SPLIT_VAL},
    {"validation", SPLIT_VAL}, {"dev", SPLIT_VAL}, {"test", SPLIT_TEST}, {"testing", SPLIT_TEST}};

int split_of_word(const char *word, size_t n)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strncasecmp(word, words[i].word, n) == 0 && words[i].word[n] == '\0')
			return (int)words[i].split;
	return SPLIT_NONE;
}

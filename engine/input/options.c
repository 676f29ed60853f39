/* The rows of a model's block `input`. */
#include <stddef.h>

#include "input/adapter.h"

#define AT(field) offsetof(struct input_options, field)

static const char *const accents_choices[] = {"auto", "strip", "keep", NULL}; /* enum wordpiece_accents */

const struct option input_option_table[] = {
    {.key = "kind",
	.type = OPT_CHOICE,
	.offset = AT(kind),
	.def = "auto",
	.choices = adapter_kind_choices,
	.help = "how samples become input; auto = image for images, text for texts"},
    {.key = "vocabulary",
	.type = OPT_STRING,
	.path = true,
	.offset = AT(vocabulary),
	.help = "texts: a vocab.txt, relative to the current directory, then to the config; none = learned from the "
		"training texts"},
    {.key = "vocabulary_size",
	.type = OPT_INT,
	.offset = AT(vocabulary_size),
	.def = "8000",
	.min = 100,
	.max = VOCABULARY_MAX_TOKENS,
	.when = "vocabulary",
	.only = OPTION_ABSENT,
	.help = "most tokens of a vocabulary that is learned"},
    {.key = "min_count",
	.type = OPT_INT,
	.offset = AT(min_count),
	.def = "2",
	.min = 1,
	.max = 1e9,
	.when = "vocabulary",
	.only = OPTION_ABSENT,
	.help = "characters and words that occur less often are left out of a vocabulary that is learned"},
    {.key = "longest",
	.type = OPT_INT,
	.offset = AT(longest),
	.def = "128",
	.min = 3,
	.max = 65536,
	.help =
	    "most tokens of a text, or of both texts of a pair, [CLS] and [SEP] included; longer ones are cut at the "
	    "end, the longer text of a pair first, counted and said"},
    {.key = "lowercase", .type = OPT_BOOL, .offset = AT(lowercase), .def = "true", .help = "texts become lower case"},
    {.key = "clean_text",
	.type = OPT_BOOL,
	.offset = AT(clean_text),
	.def = "true",
	.help = "control characters vanish, all white space becomes blanks"},
    {.key = "handle_chinese_chars",
	.type = OPT_BOOL,
	.offset = AT(handle_chinese_chars),
	.def = "true",
	.help = "every CJK ideograph is a word"},
    {.key = "strip_accents",
	.type = OPT_CHOICE,
	.offset = AT(strip_accents),
	.def = "auto",
	.choices = accents_choices,
	.help = "whether accents (combining marks) vanish; auto: if lowercase is on"},
    {.key = "keep_faults",
	.type = OPT_BOOL,
	.offset = AT(keep_faults),
	.def = "false",
	.when = "vocabulary",
	.only = OPTION_GIVEN,
	.help = "accept a vocabulary with tokens on two lines or empty lines, as published models have them; else an "
		"error"},
    OPTION_END,
};

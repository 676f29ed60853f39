/* Private to engine/data: what the rows of the block `data` (options.c) and their checks (options_check.c) share. */
#ifndef ENGINE_DATA_OPTIONS_H
#define ENGINE_DATA_OPTIONS_H

#include "data/dataset.h"

/* The kinds of source, as bits of the choices of `source`. */
#define TABLES   (OPTION_BIT(SOURCE_CSV) | OPTION_BIT(SOURCE_JSONL))
#define TEXTS    (TABLES | OPTION_BIT(SOURCE_PHRASEBANK))
#define PICTURES (OPTION_BIT(SOURCE_DIGITS) | OPTION_BIT(SOURCE_IDX) | OPTION_BIT(SOURCE_IMAGES))

/* The defaults of val_fraction and test_fraction. */
#define VAL_FRACTION       0.1
#define VAL_FRACTION_TEXT  "0.1"
#define TEST_FRACTION      0.2
#define TEST_FRACTION_TEXT "0.2"

#endif

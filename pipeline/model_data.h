/* The data that a checkpoint was made from. */
#ifndef PIPELINE_MODEL_DATA_H
#define PIPELINE_MODEL_DATA_H

#include "data/dataset.h"
#include "store/checkpoint.h"

/* An option block as JSON without the nulls of options that were not given, so that option_parse can read it again. */
cJSON *model_data_options_json(const struct data_options *o);
/* Opens the data set named by the checkpoint's own fields (data_options, config, seed) or, if config is not NULL, by a
 * config's data block. ERR_CHECKPOINT if the checkpoint does not name its data. */
int model_data_open(struct dataset *out, const struct checkpoint *c, const char *config, bool with_test);
/* Image files that a model is to see are resized as they were for it, unless the options say how. */
int model_data_resize(struct data_options *o, const struct checkpoint *c);

#endif

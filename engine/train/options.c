/* The training options' choices and contradictions. The rows themselves are TRAIN_OPTION_ROWS in trainer.h. */
#include <inttypes.h>

#include "base/err.h"
#include "train/trainer.h"

const char *const optimizer_names[] = {"sgd", "adamw", NULL};
const char *const schedule_names[] = {"constant", "linear", "cosine", NULL};

bool train_mixes(const struct train_options *o, const struct task *task)
{
	return o->augment && task->mixup > 0;
}

int train_options_check(const struct train_options *o, const char **key)
{
	const char *unused;
	const char **at = key ? key : &unused;
	*at = "accumulate";
	if (o->batch_size % o->accumulate)
		return err_set(ERR_CONFIG,
		    "accumulate (%" PRId64 " micro-batches) must divide batch_size (%" PRId64 ")", o->accumulate,
		    o->batch_size);
	*at = NULL;
	return 0;
}

/* The ship rule after pruning: one attempt, and its verdict. */
#include "stages/prune_accept.h"

int prune_judge(struct prune_job *job, struct acceptance *rule)
{
	const struct prune_options *o = job->o;
	struct model pruned = {0};
	struct candidate c = {.method = "prune", .model = &pruned, .trained = o->train.epochs > 0};
	bool passed, closest;
	int rc = accept_open(rule, &o->accept, job->run, "nonzero_parameters", true);
	if (!rc)
		rc = model_copy(&pruned, &job->model, job->run->cpu_dev);
	if (!rc)
		rc = accept_count_nonzero(&pruned, &c.size);
	if (!rc)
		rc = accept_judge(rule, &c, &passed, &closest);
	model_clear(&pruned);
	return rc;
}

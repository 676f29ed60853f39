#include "pipeline/smallest_difference.h"

#include <math.h>
#include <stdio.h>

#include "pipeline/report.h"
#include "task/power.h"

/* Shares of samples that two models decide differently; nobody knows it before a run. 0: one is wrong where the other
 * is right, and nowhere better; it is the least that can be shown at all. */
static const double discordant[] = {0, 0.02, 0.1};
static const enum split judged[] = {SPLIT_VAL, SPLIT_TEST};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static double smallest(const struct dataset *d, enum split s, double share, const struct difference_rule *r)
{
	return power_smallest_difference(d->n[s], share, r->false_positives, r->power);
}

static void print_split(const struct dataset *d, enum split s, const struct difference_rule *r)
{
	char count[32];
	printf("  %s, %s samples: ", split_names[s], report_count((double)d->n[s], count));
	if (!isfinite(smallest(d, s, 0, r))) {
		printf(
		    "none; fewer than %lld samples show nothing\n", (long long)power_fewest_flips(r->false_positives));
		return;
	}
	for (size_t i = 0; i < COUNT(discordant); i++) {
		const double points = 100 * smallest(d, s, discordant[i], r);
		if (discordant[i] > 0)
			printf(", %.2f where %g %% of decisions differ", points, 100 * discordant[i]);
		else
			printf("%.2f points where one model only loses", points);
	}
	printf("\n");
}

void smallest_difference_print(const struct dataset *d, const struct task *t, const struct difference_rule *r)
{
	const struct metric_row *row = &t->kind->metric[t->primary];
	printf("smallest difference of two models that can be shown (right decisions about the same samples, exact "
	       "McNemar test, %g %% false positives, seen in %g %% of cases):\n",
	    100 * r->false_positives, 100 * r->power);
	for (size_t i = 0; i < COUNT(judged); i++)
		if (d->n[judged[i]] > 0)
			print_split(d, judged[i], r);
	if (!row->of_samples)
		printf("  %s is no share of samples: where classes are rare, it needs more\n", row->name);
}

void smallest_difference_json(struct json_out root, const struct dataset *d, const struct difference_rule *r)
{
	struct json_out o = json_out_object(root, "smallest_difference");
	json_out_text(o, "method", "exact McNemar, two-sided");
	json_out_number(o, "false_positives", r->false_positives);
	json_out_number(o, "power", r->power);
	for (size_t i = 0; i < COUNT(judged); i++) {
		const enum split s = judged[i];
		if (d->n[s] == 0)
			continue;
		struct json_out split = json_out_object(o, split_names[s]);
		json_out_number(split, "samples", (double)d->n[s]);
		struct json_out rows = json_out_list(split, "differences");
		for (size_t k = 0; k < COUNT(discordant); k++) {
			struct json_out one = json_out_object(rows, NULL);
			const double points = 100 * smallest(d, s, discordant[k], r);
			json_out_number(one, "discordant_pct", 100 * discordant[k]);
			json_out_number(one, "points", points);
		}
	}
}

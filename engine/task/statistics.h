/* Statistics of comparisons: intervals of shares and of means over runs, tests of paired differences, and the
 * correction of several tests at once. A difference of figures on one test set is only as good as its interval. */
#ifndef ENGINE_TASK_STATISTICS_H
#define ENGINE_TASK_STATISTICS_H

#include <stdint.h>

/* 95 % interval of a share of hits in n (Wilson 1927). */
void wilson_interval(int64_t hits, int64_t n, double *low, double *high);

/* Two models on the same samples (McNemar 1947): only the samples on which one is right and the other wrong count. */
struct flips {
	int64_t right_to_wrong, wrong_to_right;
	double p;                     /* exact two-sided binomial test of equal error rates */
	double difference, low, high; /* of the shares of right decisions, with its 95 % interval */
};
/* reference, model: (n) whether each decision is right as a whole. */
void flips_count(struct flips *f, const uint8_t *reference, const uint8_t *model, int64_t n);
/* Two-sided exact test of a against b discordant samples: twice the tail of Binomial(a + b, 1/2), at most 1. */
double mcnemar_exact(int64_t a, int64_t b);

/* Two-sided tail of the standard normal distribution: P(|Z| >= |z|). */
double normal_two_sided(double z);
/* Two-sided tail of Student's distribution with df > 0 degrees of freedom: P(|T| >= |t|). */
double student_two_sided(double t, double df);
/* The t that P(|T| >= t) = p is reached at, for 0 < p < 1. */
double student_critical(double p, double df);

/* Figures of one cell over seeds and folds. Not finite: there are too few of them. */
struct spread {
	int n;
	double mean, sd, min, max; /* sd: of a sample, with n - 1; NaN for n < 2 */
	double low, high;          /* 95 % interval of the mean by Student's t; NaN for n < 2 */
};
void spread_of(struct spread *s, const double *v, int n);
/* Two-sided t test that a mean of n differences is zero; 1 where all are zero. NaN where it cannot say: n < 2, or
 * differences that are all equal and not zero, which have no spread to judge by (they are no proof beyond chance). */
double student_paired(const double *difference, int n);

/* Holm's correction (1979) in place: each p becomes the least level at which its test is rejected among all. Those that
 * are not finite are no tests and stay. ERR_NOMEM. */
int holm_adjust(double *p, int n);

#endif

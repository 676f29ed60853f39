/* What a comparison of two models on the same samples can show. Both decide about every sample; only those on which one
 * is right and the other wrong count, and McNemar's exact test (1947) asks whether they fall to one side as a coin
 * would seldom do.
 *
 * The power of that test, exactly (Duffy 1984, Biometrics 40, 1005-1015): of n samples D are decided differently, D ~
 * Binomial(n, p), where p = p10 + p01 is the expected share; of them X fall to one side, X ~ Binomial(D, p10 / p); the
 * test is positive where twice the tail of Binomial(D, 1/2) is at most the rate of false positives. Where more than
 * 10,000 samples are expected to differ, by the normal approximation (Miettinen 1968, Biometrics 24, 339-352; Connor
 * 1987, Biometrics 43, 207-211): power = Phi((d sqrt(n) - z sqrt(p)) / sqrt(p - d^2)) for a difference d = p10 - p01.
 *
 * Assumed: samples are independent; both models are fixed before they are measured (nothing was chosen on these
 * samples); p is what it is taken for. Figures that are no share of samples, such as a macro F1, are not covered: they
 * depend on the rarest class, and need more. */
#ifndef ENGINE_TASK_POWER_H
#define ENGINE_TASK_POWER_H

#include <stdint.h>

#define POWER_FALSE_POSITIVES 0.05 /* two-sided, where nobody asks for another rate */
#define POWER_WANTED          0.8  /* the chance to see a difference that is there, likewise */

/* The chance that the test is positive. discordant: the expected share of samples that the models decide differently,
 * in (0, 1]; difference of their shares of right decisions, 0 to discordant. */
double power_mcnemar(int64_t n, double discordant, double difference, double false_positives);
/* The smallest difference with at least that power. It cannot be larger than the share of samples that are decided
 * differently, so where it would be, that share grows with it: with discordant 0 it is the difference of a model that
 * is wrong where the other is right and nowhere better. NaN: these samples cannot show any. */
double power_smallest_difference(int64_t n, double discordant, double false_positives, double power);
/* The least number of samples that make the test positive if all fall to one side. */
int64_t power_fewest_flips(double false_positives);

#endif

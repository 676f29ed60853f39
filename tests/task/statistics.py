#!/usr/bin/env python3
"""Prints the golden values of test_statistics.c. Needs scipy, statsmodels, numpy."""
import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

print("t critical", [(df, repr(float(stats.t.ppf(0.975, df)))) for df in (1, 2, 4, 9, 30, 1000)])
print("t two-sided", [(t, df, repr(float(2 * stats.t.sf(t, df)))) for t, df in ((1.5, 1), (2.5, 2), (4.2, 7), (12, 30), (1e-3, 3), (60, 2))])
print("normal", [(z, repr(float(2 * stats.norm.sf(z)))) for z in (0.5, 1.96, 6)])
for a, b in ((3, 0), (9, 2), (40, 61), (500, 431)):
    print("mcnemar", a, b, repr(float(mcnemar([[0, a], [b, 0]], exact=True).pvalue)))
p = [0.01, 0.04, 0.03, 0.005, 0.5, 0.03]
print("holm", [repr(float(v)) for v in multipletests(p, method="holm")[1]])
v = [0.918, 0.771, 0.788, 0.786, 0.762]
print("spread", repr(float(np.mean(v))), repr(float(np.std(v, ddof=1))),
      [repr(float(x)) for x in stats.t.interval(0.95, 4, np.mean(v), stats.sem(v))])
d = [0.011, 0.004, 0.009, -0.001]
print("paired", repr(float(stats.ttest_1samp(d, 0).pvalue)))

# The rows of test_paired.c: three classes, 300 samples, the model wrong where (7 i) mod 10 < 2, the reference where < 1 of (3 i) mod 11.
i = np.arange(300)
truth = (i * i + i // 7) % 3
reference = np.where((3 * i) % 11 < 1, (truth + 1) % 3, truth)
model = np.where((7 * i) % 10 < 2, (truth + 1 + i % 2) % 3, truth)


def f1_macro(t, p):
    out = []
    for c in range(3):
        tp, fp, fn = ((t == c) & (p == c)).sum(-1), ((t != c) & (p == c)).sum(-1), ((t == c) & (p != c)).sum(-1)
        out.append(2 * tp / (2 * tp + fp + fn))
    return np.mean(out, axis=0)


print("f1", repr(f1_macro(truth, reference)), repr(f1_macro(truth, model)))
r = np.random.default_rng(1).integers(0, 300, (400000 // 2, 300))
print("bootstrap error", np.std(f1_macro(truth[r], model[r]) - f1_macro(truth[r], reference[r]), ddof=1))
change = (model == truth).astype(int) - (reference == truth)
print("flips", (change < 0).sum(), (change > 0).sum(), "share error", repr(float(np.std(change) / np.sqrt(300))))
other = np.where((5 * i) % 13 < 2, (truth + 1) % 3, truth)
both = change + ((other == truth).astype(int) - (reference == truth))
print("two runs: mean", repr(float(both.mean() / 2)), "error", repr(float(np.std(both / 2) / np.sqrt(300))))

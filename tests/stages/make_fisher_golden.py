#!/usr/bin/env python3
"""Writes fisher_golden.h: gains by numpy's least squares, and the units that an exchange leaves, by its definition.

    python3 make_fisher_golden.py > fisher_golden.h        (numpy 2; the numbers are made here and in the test alike)
"""
import numpy as np


def number(i, stream):
    v = (i * 2654435761 + stream * 40503 + 77) % 2**32
    v ^= v >> 15
    v = v * 2246822519 % 2**32
    v ^= v >> 13
    return (v >> 8) / 2**23 - 1


def numbers(stream, *shape):
    n = int(np.prod(shape))
    return np.array([number(i, stream) for i in range(n)]).reshape(shape)


ROWS, OUTPUTS = 23, 7


def gains(units, inner, stream):
    x = numbers(stream, ROWS, units * inner)
    w = numbers(stream + 1, OUTPUTS, units * inner)
    e = 2 * numbers(stream + 2, ROWS, OUTPUTS)
    a = np.zeros((ROWS, OUTPUTS, units))
    for u in range(units):
        c = slice(u * inner, (u + 1) * inner)
        a[:, :, u] = x[:, c] @ w[:, c].T
    damped = np.vstack([a.reshape(-1, units), np.eye(units)])
    right = np.concatenate([e.reshape(-1), np.zeros(units)])
    return 1 + np.linalg.lstsq(damped, right, rcond=None)[0]


def exchanged(units, samples, keep, stream):
    g = numbers(stream, units, samples) * (1 + np.arange(units)[:, None] % 3)
    order = sorted(range(units), key=lambda u: ((g[u] ** 2).sum(), -u))
    pruned = order[: units - keep]
    for u in order[units - keep :]:
        pruned.append(u)
        length = [((g[[q for q in pruned if q != p]].sum(axis=0)) ** 2).sum() for p in pruned]
        pruned.remove(pruned[int(np.argmin(length))])
    kept = set(range(units)) - set(pruned)
    return [int(u in kept) for u in range(units)]


def row(name, values, form):
    print(f"static const {form[0]} {name}[] = {{" + ", ".join(form[1].format(v) for v in values) + "};")


print("/* Made by make_fisher_golden.py. */")
print(f"enum {{ GOLDEN_ROWS = {ROWS}, GOLDEN_OUTPUTS = {OUTPUTS} }};")
row("golden_gains_units", gains(9, 1, 10), ("double", "{:.12g}"))
row("golden_gains_heads", gains(3, 4, 20), ("double", "{:.12g}"))
row("golden_kept", sum((exchanged(12, 20, 5, 30 + i) for i in range(8)), []), ("int", "{}"))

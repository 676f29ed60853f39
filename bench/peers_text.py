#!/usr/bin/env python3
"""Models of texts beside scikit-learn's TF-IDF and logistic regression, on the same split.

usage: peers_text.py PIPELINE CHECKPOINT [CHECKPOINT ...] [--on test|validation] [--json]

The samples of every split are those that `pipeline predict CHECKPOINT --split SPLIT --json` lists for the first checkpoint,
with texts and truths, so both sides train on the same rows; further checkpoints must be of the same split (they are: of
one run). What the checkpoints themselves decide is read from the same lines, and all figures are computed by one function.

The peer: TfidfVectorizer of words and pairs of words, lower case, sublinear term frequency, L2 norm, no other limit, where
a word is a run of characters that are neither white space nor punctuation (scikit-learn's own pattern would tear Bangla
words apart at their vowel signs); LogisticRegression (L2, lbfgs, at most 1000 iterations), one per label for label sets.
Three rows: as it comes (C = 1); with the C of 1, 3, 10, 30, 100 and the class_weight, none or balanced, that are best on the
validation split by the run's own primary metric; the same of words alone, which know no more of their order than a bag.
Label sets: a label is given from 0.5 or, where the run searches thresholds, from the threshold of 0.30, 0.31 ... 0.70 with
the best F1 on validation. Needs scikit-learn from PyPI.
"""
import argparse
import itertools
import json
import pathlib
import subprocess
import sys

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.multiclass import OneVsRestClassifier

STRENGTHS = [1, 3, 10, 30, 100]
WORD = r"[^\s!-/:-@\[-`{-~\u0964\u0965\u2010-\u2027]+"


class Samples:
    """The rows of one split as a checkpoint sees them."""

    def __init__(self, pipeline, checkpoint, split):
        done = subprocess.run([pipeline, "predict", checkpoint, "--split", split, "--json"], stdout=subprocess.PIPE)
        if done.returncode:
            sys.exit(f"{pipeline} predict {checkpoint} --split {split}: status {done.returncode}")
        rows = json.loads(done.stdout)
        self.texts = [row["text"] for row in rows]
        self.classes = list(rows[0]["probabilities"])
        self.sets = "true_labels" in rows[0]
        if self.sets:
            self.truth = np.array([[int(c in row["true_labels"]) for c in self.classes] for row in rows])
            self.decided = np.array([[int(c in row["labels"]) for c in self.classes] for row in rows])
        else:
            self.truth = np.array([row["label"] for row in rows])
            self.decided = np.array([row["class"] for row in rows])


def figures(truth, decided):
    """Exact match and accuracy are one figure for classes; for label sets accuracy_score is the exact match."""
    f1 = {f"f1_{a}": f1_score(truth, decided, average=a, zero_division=0) for a in ("macro", "weighted", "micro")}
    return {"exact_match" if truth.ndim == 2 else "accuracy": accuracy_score(truth, decided)} | f1


def search_thresholds(truth, p):
    grid = np.arange(30, 71) / 100
    found = []
    for c in range(truth.shape[1]):
        given, there = p[:, c, None] >= grid, truth[:, c, None] == 1
        f1 = 2 * (given & there).sum(0) / (given.sum(0) + there.sum())
        best = np.flatnonzero(np.isclose(f1, f1.max()))
        found.append(grid[best[np.argmin(abs(grid[best] - 0.5))]])
    return np.array(found)


class Peer:
    def __init__(self, train, validation, task, strength, longest, balanced):
        self.words = TfidfVectorizer(ngram_range=(1, longest), sublinear_tf=True, token_pattern=WORD)
        self.model = LogisticRegression(C=strength, class_weight="balanced" if balanced else None, max_iter=1000)
        if train.sets:
            self.model = OneVsRestClassifier(self.model)
        self.model.fit(self.words.fit_transform(train.texts), train.truth)
        self.threshold = 0.5
        if train.sets and task["search_thresholds"]:
            self.threshold = search_thresholds(validation.truth, self.probabilities(validation))

    def probabilities(self, samples):
        return self.model.predict_proba(self.words.transform(samples.texts))

    def figures(self, samples):
        p = self.probabilities(samples)
        return figures(samples.truth, (p >= self.threshold).astype(int) if samples.sets else p.argmax(1))


def run_peers(train, validation, task):
    """Name and model of each row. One that is chosen is chosen by validation alone."""

    def choose(longest):
        found = {}
        for strength, balanced in itertools.product(STRENGTHS, (False, True)):
            peer = Peer(train, validation, task, strength, longest, balanced)
            found[peer.figures(validation)[task["metric"]], f"C = {strength}" + ", balanced" * balanced] = peer
        (_, how), best = max(found.items(), key=lambda row: row[0][0])
        return how, best

    yield "TF-IDF + LR, C = 1", Peer(train, validation, task, 1, 2, False)
    for longest, name in ((2, "TF-IDF + LR"), (1, "TF-IDF + LR of words alone")):
        how, best = choose(longest)
        yield f"{name}, {how}", best


def read_task(checkpoint):
    task = json.loads((pathlib.Path(checkpoint) / "checkpoint_info.json").read_text())["task"]
    return {"metric": task["metric"], "search_thresholds": bool(task.get("thresholds"))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pipeline")
    parser.add_argument("checkpoint", nargs="+")
    parser.add_argument("--on", default="test", choices=["test", "validation"])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    train, validation = (Samples(args.pipeline, args.checkpoint[0], s) for s in ("train", "validation"))
    rows = {}
    for path in args.checkpoint:
        own = Samples(args.pipeline, path, args.on)
        rows[pathlib.Path(path).name] = figures(own.truth, own.decided)
    for name, peer in run_peers(train, validation, read_task(args.checkpoint[0])):
        rows[name] = peer.figures(own)
    if args.json:
        print(json.dumps({"on": args.on, "samples": len(own.texts), "rows": rows}))
        return
    print(f"{len(train.texts)} training, {len(own.texts)} {args.on} texts")
    for name, values in rows.items():
        print(f"{name:46}" + "".join(f"  {k} {100 * v:.2f}" for k, v in values.items()))


main()

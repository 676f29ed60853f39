#!/usr/bin/env python3
"""Prunes imported models, exports them and compares what `transformers` and the program say of the same texts. Run by hand,
since it needs torch and transformers:

  tests/exchange/check_pruned.py build/release/pipeline [FOLDER...]

FOLDER is a classifier of `transformers`; not given, BERT and DistilBERT of tests/exchange/folders, each with every
activation. Its first layer keeps one head and a third of its units, its second layer two thirds of both; all others stay.
"""
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile

import torch
import transformers

WORST = 1e-5
TEXTS = ["The film is good.", "bad", "a long story of love and war, a bad play",
         "unreal !", "acted playing acts", "?"]
CONFIG = """name: t
seed: 3
threads: 1
data: {source: csv, path: texts.csv, classes: [%s], val_fraction: 0.3, test_fraction: 0.1}
stages:
  one: {kind: prune, input: ./model, method: structured, sparsity: %g, round_to: 1, min_units: 1, exclude: [%s, layer0.ffn], epochs: 0}
  two: {kind: prune, input: one, method: structured, sparsity: 0.67, round_to: 1, exclude: [%s, layer0.heads], epochs: 0}
  three: {kind: prune, input: two, method: structured, sparsity: 0.34, round_to: 1, exclude: [%s], epochs: 0}
"""
ACTIVATION = {"bert": "hidden_act", "distilbert": "activation"}


def prune(program, config):
    """Imports ./folder, prunes it, and exports it as ./padded and ./compact."""
    labels = [config["id2label"][str(i)] for i in range(len(config["id2label"]))]
    heads = config.get("num_attention_heads") or config["n_heads"]
    layers = config.get("num_hidden_layers") or config["n_layers"]
    def others(kept):
        return ", ".join(f"layer{i}.*" for i in range(layers) if i != kept)
    with open("texts.csv", "w", encoding="utf-8") as f:
        f.write("text,label\n")
        for i in range(60):
            f.write(f'"{TEXTS[i % len(TEXTS)]} {i}",{labels[i % len(labels)]}\n')
    with open("t.yaml", "w", encoding="utf-8") as f:
        f.write(CONFIG % (", ".join(labels), 1 - 1 / heads, others(0), others(0), others(1)))
    for command in ("import folder --out model", "run t.yaml", "export runs/t/03-three --hf padded",
                    "export runs/t/03-three --hf compact --pruned-heads"):
        done = subprocess.run([program, *command.split()], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{command}: {done.stderr}")
        if command.startswith("export"):
            print("  " + done.stdout.strip().replace("\n", "\n  "))
    with open("runs/t/03-three/checkpoint_info.json", encoding="utf-8") as f:
        return json.load(f)["model_spec"]["widths"]


def ours(program):
    """Logits less the first one, from probabilities."""
    texts = [a for t in TEXTS for a in ("--text", t)]
    out = subprocess.run([program, "predict", "runs/t/03-three", "--json", *texts], stdout=subprocess.PIPE, check=True)
    p = [s["probabilities"] for s in json.loads(out.stdout)]
    return [[math.log(v / row[0]) for v in row] for row in p]


def theirs(folder):
    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not any(info.get(k) for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model.eval()
    rows = []
    for text in TEXTS:
        logits = model(**tokenizer(text, return_tensors="pt")).logits[0]
        rows.append((logits - logits[0]).tolist())
        logits.logsumexp(0).backward()
    return rows, model


def moved(model):
    """How many of the zeros that stand for what is gone have a gradient: a training there would bring them back."""
    n = 0
    for name, p in model.named_parameters():
        if p.grad is not None and ".layer." in name:
            dead = (p == 0) if p.dim() == 1 else (p == 0).all(1, keepdim=True) | (p == 0).all(0, keepdim=True)
            n += int(((p.grad != 0) & dead.expand_as(p)).sum())
    return n


def compare(program, source, activation):
    with open(f"{source}/config.json", encoding="utf-8") as f:
        config = json.load(f)
    if activation:
        config[ACTIVATION[config["model_type"]]] = activation
    shutil.copytree(source, "folder", ignore=shutil.ignore_patterns("expected*"))
    with open("folder/config.json", "w", encoding="utf-8") as f:
        json.dump(config, f)
    print(f"{source}, {activation or 'its own activation'}:")
    widths = prune(program, config)
    want = ours(program)
    folders = ["padded"] + ["compact"] * (int(transformers.__version__.split(".")[0]) < 5)
    worst = 0
    for folder in folders:
        have, model = theirs(folder)
        far = max(abs(a - b) for x, y in zip(have, want) for a, b in zip(x, y))
        print(f"  {folder}: heads and units {widths}, transformers {transformers.__version__} differs by {far:.1e}, "
              f"gradients on zeros: {moved(model)}")
        assert moved(model) == 0
        worst = max(worst, far)
    return worst


def main():
    program, *sources = sys.argv[1:]
    program = os.path.abspath(program)
    folders = os.path.join(os.path.dirname(os.path.abspath(__file__)), "folders")
    cases = [(os.path.abspath(s), None) for s in sources] or [
        (f"{folders}/{name}", a) for name in ("bert", "distilbert") for a in ("gelu", "gelu_new", "relu")]
    worst = 0
    for source, activation in cases:
        with tempfile.TemporaryDirectory() as work:
            os.chdir(work)
            worst = max(worst, compare(program, source, activation))
            os.chdir("/")
    assert worst <= WORST, worst
    print(f"the largest difference is {worst:.1e}; {WORST:.0e} are allowed")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""How much better the models of a study are on what they were trained on: adds to a kept comparison what only the runs know.

usage: train_gap.py PIPELINE COMPARISON.json

COMPARISON.json is what `pipeline compare ... --format json` has printed, in the folder from which the study was run; it is
printed again with, in each row of a comparison by accuracy,

  train.mean, train.sd   accuracy on the training split over the row's runs: what the training has measured, else (of a model
                         that was not trained) what `pipeline predict CHECKPOINT --split train --json` decides
  gap.mean, gap.sd       that less accuracy on the test split, run by run
  weight_bits            of the weights: 32, 16, or what the stage was asked for
  parameters             their number
  seconds.mean, .sd      what the stage that made the model took, on the machine of the run beside its other work
"""
import json
import pathlib
import statistics
import subprocess
import sys


def stage_folder(run, model):
    for record in sorted(run.glob("[0-9]*-*/stage.json")):
        if json.loads(record.read_text())["name"] == model:
            return record.parent
    sys.exit(f"{run}: no stage {model}")


def train_accuracy(pipeline, folder, info):
    measured = info.get("metrics", {}).get("train")
    if measured:
        return measured["accuracy"]
    said = subprocess.run([pipeline, "predict", str(folder), "--split", "train", "--json"], check=True, capture_output=True)
    right = [answer["right"] for answer in json.loads(said.stdout)]
    return sum(right) / len(right)


def weight_bits(info):
    technique = info["technique"]
    if technique == "fp16" or technique == "bf16":
        return 16
    return info.get("hyperparameters", {}).get("weight_bits", 32)


def spread(values):
    return {"mean": statistics.mean(values), "sd": statistics.stdev(values) if len(values) > 1 else None}


def complete(pipeline, row):
    train, gap, seconds = [], [], []
    for value in row["values"]:
        run = pathlib.Path(value["path"])
        folder = stage_folder(run, row["model"])
        info = json.loads((folder / "checkpoint_info.json").read_text())
        train.append(train_accuracy(pipeline, folder, info))
        gap.append(train[-1] - value["value"])
        seconds.append(json.loads((folder / "stage.json").read_text())["seconds"])
        row["weight_bits"] = weight_bits(info)
        evaluated = json.loads(sorted(run.glob("[0-9]*-*/evaluation.json"))[-1].read_text())
        row["parameters"] = next(m["parameters"] for m in evaluated["models"] if m["name"] == row["model"])
    row["train"] = spread(train)
    row["gap"] = spread(gap)
    row["seconds"] = spread(seconds)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    comparison = json.loads(pathlib.Path(sys.argv[2]).read_text())
    for row in comparison["rows"]:
        if row["metric"] != "accuracy":
            sys.exit(f"{row['run']}: of {row['metric']}, not accuracy")
        complete(sys.argv[1], row)
    print(json.dumps(comparison, separators=(",", ":")))


main()

#!/usr/bin/env python3
"""Training step of the CPU backend beside PyTorch's, interleaved in one run.

usage: train_step.py BENCH_TRAIN_STEP [ROUNDS]     BENCH_TRAIN_STEP: the program built from train_step.c
Both train the same shapes in FP32 with AdamW and gradient clipping, on two threads; PyTorch in NCHW and channels_last.
Rounds alternate between the two, because clocks drift; ratios are of medians over all rounds. Needs: torch (PyPI).
"""
import json
import os
import statistics
import subprocess
import sys
import time

THREADS = 2
os.environ["OMP_NUM_THREADS"] = str(THREADS)

import torch  # noqa: E402  (after the thread count)
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

torch.set_num_threads(THREADS)
torch.manual_seed(0)


def mlp():
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))


def cnn():
    layers, c = [], 3
    for o, k in ((32, 5), (64, 5), (96, 3)):
        layers += [nn.Conv2d(c, o, k), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2)]
        c = o
    head = [nn.Flatten(), nn.Linear(96 * 25, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)]
    return nn.Sequential(*layers, *head)


MODELS = {"mlp": (mlp, (784,), 128, 200), "cnn": (cnn, (3, 64, 64), 64, 8)}


def torch_step(name, batch, channels_last):
    net, x = MODELS[name][0]().train(), torch.randn(batch, *MODELS[name][1])
    if channels_last:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    y, opt = torch.arange(batch) % 10, torch.optim.AdamW(net.parameters(), 1e-4, foreach=True)

    def step():
        opt.zero_grad()
        F.cross_entropy(net(x), y).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()

    return step


def time_torch(step, steps):
    for _ in range(3):
        step()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds), 1e3 * min(seconds)


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    ours = subprocess.Popen(
        [sys.argv[1], "--serve", str(THREADS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for name, (_, shape, batch, steps) in MODELS.items():
        peers = {"torch": torch_step(name, batch, False)}
        if len(shape) == 3:
            peers["torch channels_last"] = torch_step(name, batch, True)
        rows = {key: [] for key in ("pipeline", *peers)}
        for _ in range(rounds):
            time.sleep(0.05)  # idle threads of the other program stop spinning
            ours.stdin.write(f"{name} {batch} {steps}\n")
            ours.stdin.flush()
            row = json.loads(ours.stdout.readline())
            rows["pipeline"].append((row["median_ms"], row["best_ms"]))
            for key, step in peers.items():
                time.sleep(0.05)
                rows[key].append(time_torch(step, steps))
        median = {key: statistics.median(r[0] for r in value) for key, value in rows.items()}
        best = {key: min(r[1] for r in value) for key, value in rows.items()}
        for key in rows:
            print(json.dumps({"model": name, "batch": batch, "engine": key, "median_ms": round(median[key], 3),
                              "best_ms": round(best[key], 3),
                              "pipeline_over_it_median": round(median["pipeline"] / median[key], 3),
                              "pipeline_over_it_best": round(best["pipeline"] / best[key], 3)}), flush=True)
    ours.stdin.close()
    ours.wait()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Training step of the CPU backend beside PyTorch's, interleaved in one run.

usage: train_step.py BENCH_TRAIN_STEP [--rounds N] [--threads T] [--cpu] [--lengths FILE] [--out FILE.json] [MODEL ...]
BENCH_TRAIN_STEP: the program built from train_step.c. Both train the same shapes in FP32 with AdamW and gradient
clipping; PyTorch in NCHW and channels_last. Rounds alternate between them, because clocks drift; `ratio` is the
median over rounds of our time to theirs in the same round. --cpu compares processor time: for one thread on a machine
with other work. The encoder (student) has 128 tokens per text or, with a file of whole numbers, its first ones; PyTorch's texts
are then padded to the longest, with a mask. Needs:
torch (PyPI).
"""
import argparse
import json
import os
import statistics
import subprocess
import time


def parse():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("program")
    p.add_argument("models", nargs="*", default=["mlp", "cnn", "eurosat_resnet"])
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--cpu", action="store_true")
    p.add_argument("--lengths", help="file with the numbers of tokens of texts")
    p.add_argument("--out")
    return p.parse_intermixed_args()


ARGS = parse()
os.environ["OMP_NUM_THREADS"] = str(ARGS.threads)

import torch  # noqa: E402  (after the thread count)
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from torch_encoder import ENCODERS, Encoder  # noqa: E402

torch.set_num_threads(ARGS.threads)
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


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(),
                               nn.Conv2d(cout, cout, 3, 1, 1, bias=False), nn.BatchNorm2d(cout))
        same = cin == cout and stride == 1
        self.b = nn.Identity() if same else nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        return torch.relu(self.a(x) + self.b(x))


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def eurosat_resnet():
    layers, cin = [nn.Conv2d(3, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)], 32
    for i, cout in enumerate((32, 64, 128)):
        layers += [Block(cin, cout, 2 if i else 1), Block(cout, cout, 1)]
        cin = cout
    return nn.Sequential(*layers, Mean(), nn.Linear(128, 10))


# constructor, input, batch, steps of a turn
MODELS = {"mlp": (mlp, (784,), 128, 200), "cnn": (cnn, (3, 64, 64), 64, 6),
          "eurosat_resnet": (eurosat_resnet, (3, 64, 64), 64, 4),
          "student": (lambda: Encoder(*ENCODERS["student"]), None, 32, 4)}


def lengths_of(batch):
    if not ARGS.lengths:
        return [128] * batch
    with open(ARGS.lengths) as f:
        return [int(n) for n in f.read().split()][:batch]


def inputs_of(name, batch):
    if name not in ENCODERS:
        return [torch.randn(batch, *MODELS[name][1])]
    lengths = lengths_of(batch)
    real = (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).float()
    ids = torch.randint(1000, 30522, real.shape)
    return [ids, real] if ARGS.lengths else [ids]


def torch_step(name, batch, channels_last):
    net, x = MODELS[name][0]().train(), inputs_of(name, batch)
    if channels_last:
        net, x = net.to(memory_format=torch.channels_last), [v.to(memory_format=torch.channels_last) for v in x]
    classes = 3 if name in ENCODERS else 10
    y, opt = torch.arange(batch) % classes, torch.optim.AdamW(net.parameters(), 1e-4, foreach=True)

    def step():
        opt.zero_grad()
        F.cross_entropy(net(*x), y).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()

    return step


def time_torch(step, steps):
    """(ms per step, best ms); of processor time there is only the mean"""
    for _ in range(3):
        step()
    seconds, cpu = [], time.process_time()
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    cpu = 1e3 * (time.process_time() - cpu) / steps
    return (cpu, cpu) if ARGS.cpu else (1e3 * statistics.median(seconds), 1e3 * min(seconds))


def time_ours(process, name, batch, steps):
    texts = "@" + ",".join(map(str, lengths_of(batch))) if name in ENCODERS and ARGS.lengths else ""
    process.stdin.write(f"{name}{texts} {batch} {steps}\n")
    process.stdin.flush()
    row = json.loads(process.stdout.readline())
    return (row["cpu_ms"], row["cpu_ms"]) if ARGS.cpu else (row["median_ms"], row["best_ms"])


def compare(ours, name):
    _, shape, batch, steps = MODELS[name]
    peers = {"torch": torch_step(name, batch, False)}
    if shape and len(shape) == 3:
        peers["torch channels_last"] = torch_step(name, batch, True)
    rows = {key: [] for key in ("pipeline", *peers)}
    for _ in range(ARGS.rounds):
        time.sleep(0.05)  # idle threads of the other program stop spinning
        rows["pipeline"].append(time_ours(ours, name, batch, steps))
        for key, step in peers.items():
            time.sleep(0.05)
            rows[key].append(time_torch(step, steps))
    found = []
    for key, value in rows.items():
        ratios = [ours_ms / ms for (ours_ms, _), (ms, _) in zip(rows["pipeline"], value)]
        found.append({"model": name, "batch": batch, "threads": ARGS.threads, "time": "processor" if ARGS.cpu else "elapsed",
                      "engine": key, "median_ms": round(statistics.median(ms for ms, _ in value), 3),
                      "best_ms": round(min(best for _, best in value), 3), "ratio": round(statistics.median(ratios), 3),
                      "ratio_least": round(min(ratios), 3), "ratio_most": round(max(ratios), 3)})
    return found


def main():
    ours = subprocess.Popen(
        [ARGS.program, "--serve", str(ARGS.threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    rows = []
    for name in ARGS.models:
        found = compare(ours, name)
        rows += found
        for row in found:
            print(json.dumps(row), flush=True)
    ours.stdin.close()
    ours.wait()
    if ARGS.out:
        with open(ARGS.out, "w") as f:
            json.dump({"torch": torch.__version__, "rounds": ARGS.rounds, "rows": rows}, f, indent=1)


if __name__ == "__main__":
    main()

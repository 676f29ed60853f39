#!/usr/bin/env python3
"""Inference beside PyTorch, ONNX Runtime and OpenVINO, interleaved in the same minutes.

usage: peers_infer.py BENCH_INFER [--out FILE.json] [--rounds N] [--seconds S] [--threads T] [MODEL[:BATCH] ...]

Clocks of shared machines drift by a factor of two within seconds, so every contender gets a short turn in every round and
what is reported is the median over rounds of the ratio, within one round, of our time to the fastest peer's. Needs torch,
onnx, onnxruntime, openvino, nncf and numpy from PyPI; the program under test needs none of them.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

MODELS = {"mlp": (1, 32, 1024), "cnn": (1, 32), "resnet": (1, 32)}


def parse():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("program", help="the bench_infer binary")
    p.add_argument("models", nargs="*", default=list(MODELS), help="e.g. mlp cnn:32")
    p.add_argument("--out")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--seconds", type=float, default=0.3, help="of one turn")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--cpu", action="store_true",
                   help="compare processor time instead of elapsed time: for one thread on a machine with other work")
    return p.parse_intermixed_args()


ARGS = parse()
os.environ["OMP_NUM_THREADS"] = str(ARGS.threads)
warnings.filterwarnings("ignore")
import logging

logging.disable(logging.WARNING)
import numpy as np
import onnxruntime as ort
import openvino as ov
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

torch.set_num_threads(ARGS.threads)
torch.manual_seed(0)


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


def network(name):
    if name == "mlp":
        return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    if name == "cnn":
        layers, cin = [], 3
        for cout, kernel in ((32, 5), (64, 5), (96, 3)):
            layers += [nn.Conv2d(cin, cout, kernel), nn.BatchNorm2d(cout), nn.ReLU(), nn.MaxPool2d(2)]
            cin = cout
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(2400, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(),
                             nn.Linear(128, 10))
    layers, cin = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)], 64
    for i, cout in enumerate((64, 128, 256, 512)):
        layers += [Block(cin, cout, 2 if i else 1), Block(cout, cout, 1)]
        cin = cout
    return nn.Sequential(*layers, Mean(), nn.Linear(512, 10))


def sample(name, batch):
    return torch.randn(batch, 784) if name == "mlp" else torch.randn(batch, 3, 64, 64)


class Reader(CalibrationDataReader):
    def __init__(self, name):
        self.batches = iter([{"x": sample(name, 8).numpy()} for _ in range(4)])

    def get_next(self):
        return next(self.batches, None)


def onnx_session(path):
    o = ort.SessionOptions()
    o.intra_op_num_threads, o.inter_op_num_threads = ARGS.threads, 1
    return ort.InferenceSession(path, o, providers=["CPUExecutionProvider"])


def openvino_request(core, model, shape):
    model = model.clone()
    model.reshape({model.inputs[0].get_any_name(): list(shape)})
    compiled = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": ARGS.threads, "PERFORMANCE_HINT": "LATENCY",
                                                 "INFERENCE_PRECISION_HINT": "f32"})
    return compiled.create_infer_request()


class Peers:
    """All peers of one model; files are made once, sessions per batch."""

    def __init__(self, name, folder):
        import nncf
        self.name, self.net = name, network(name).eval()
        self.f32, self.int8 = f"{folder}/{name}.onnx", f"{folder}/{name}.int8.onnx"
        x = sample(name, 2)
        torch.onnx.export(self.net, (x,), self.f32, input_names=["x"], output_names=["y"], opset_version=17,
                          dynamic_axes={"x": {0: "n"}, "y": {0: "n"}}, dynamo=False)
        prepared = f"{folder}/{name}.prepared.onnx"
        quant_pre_process(self.f32, prepared, skip_symbolic_shape=True)
        quantize_static(prepared, self.int8, Reader(name), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        self.core = ov.Core()
        self.ov_f32 = self.core.read_model(self.f32)
        self.ov_int8 = nncf.quantize(self.ov_f32, nncf.Dataset([sample(name, 8).numpy() for _ in range(4)]), subset_size=4)

    def contenders(self, batch):
        """{(engine, precision): callable}"""
        x = sample(self.name, batch)
        a, out = x.numpy(), {}
        out["torch", "f32"] = lambda: self.net(x)
        if x.dim() == 4:
            last = network(self.name).eval().to(memory_format=torch.channels_last)
            xl = x.to(memory_format=torch.channels_last)
            out["torch channels_last", "f32"] = lambda: last(xl)
        for precision, path in (("f32", self.f32), ("int8", self.int8)):
            session = onnx_session(path)
            out["onnxruntime", precision] = lambda session=session: session.run(None, {"x": a})
        for precision, model in (("f32", self.ov_f32), ("int8", self.ov_int8)):
            request = openvino_request(self.core, model, a.shape)
            out["openvino", precision] = lambda request=request: request.infer({0: a}, share_inputs=True)
        return out


class Ours:
    def __init__(self):
        self.process = subprocess.Popen([ARGS.program, "--serve", str(ARGS.threads)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)

    def turn(self, model, batch, precision):
        self.process.stdin.write(f"{model} {batch} {precision} {ARGS.seconds}\n")
        line = self.process.stdout.readline()
        if not line:
            sys.exit("bench_infer ended; its message is above")
        r = json.loads(line)
        return r["cpu_ms" if ARGS.cpu else "median_ms"]


def turn(call):
    for _ in range(3):
        call()
    times, start, cpu = [], time.perf_counter(), time.process_time()
    while time.perf_counter() - start < ARGS.seconds or len(times) < 5:
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    if ARGS.cpu:
        return 1e3 * (time.process_time() - cpu) / len(times)
    return 1e3 * statistics.median(times)


def compare(peers, ours, batch):
    """Rows of one model and batch."""
    contenders, times = peers.contenders(batch), {}
    with torch.inference_mode():
        for _ in range(ARGS.rounds):
            for key, call in contenders.items():
                times.setdefault(key, []).append(turn(call))
            for precision in ("f32", "int8"):
                times.setdefault(("pipeline", precision), []).append(ours.turn(peers.name, batch, precision))
    rows = []
    for (engine, precision), t in times.items():
        rows.append({"model": peers.name, "batch": batch, "engine": engine, "precision": precision,
                     "median_ms": round(statistics.median(t), 5), "best_ms": round(min(t), 5)})
    for precision in ("f32", "int8"):
        rivals = [t for (e, p), t in times.items() if e != "pipeline" and p == precision]
        ratios = [ours_ms / min(r[i] for r in rivals) for i, ours_ms in enumerate(times["pipeline", precision])]
        fastest = min((statistics.median(t), e) for (e, p), t in times.items() if e != "pipeline" and p == precision)[1]
        rows.append({"model": peers.name, "batch": batch, "precision": precision, "fastest_peer": fastest,
                     "ratio": round(statistics.median(ratios), 3), "ratio_best_round": round(min(ratios), 3)})
    return rows


def show(rows):
    for r in rows:
        if "ratio" in r:
            print(f"{r['model']:7} b{r['batch']:<5} {r['precision']:5} pipeline/{r['fastest_peer']}: {r['ratio']:.2f}"
                  f" (best round {r['ratio_best_round']:.2f})")
        else:
            print(f"{r['model']:7} b{r['batch']:<5} {r['precision']:5} {r['engine']:20} {r['median_ms']:10.4f} ms"
                  f"  best {r['best_ms']:10.4f}")
    sys.stdout.flush()


def main():
    ours, rows = Ours(), []
    print(f"torch {torch.__version__}, onnxruntime {ort.__version__}, openvino {ov.__version__.split('-')[0]},"
          f" {ARGS.threads} threads, {ARGS.rounds} rounds of {ARGS.seconds} s")
    with tempfile.TemporaryDirectory() as folder:
        for wanted in ARGS.models:
            name, _, batch = wanted.partition(":")
            peers = Peers(name, folder)
            for b in [int(batch)] if batch else MODELS[name]:
                found = compare(peers, ours, b)
                show(found)
                rows += found
    if ARGS.out:
        with open(ARGS.out, "w") as f:
            json.dump({"torch": torch.__version__, "onnxruntime": ort.__version__, "openvino": ov.__version__,
                       "threads": ARGS.threads, "time": "processor" if ARGS.cpu else "elapsed", "rounds": ARGS.rounds, "rows": rows}, f, indent=1)


if __name__ == "__main__":
    main()

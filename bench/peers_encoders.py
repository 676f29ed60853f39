#!/usr/bin/env python3
"""Inference of transformer encoders beside PyTorch, ONNX Runtime and OpenVINO, interleaved in the same minutes.

usage: peers_encoders.py BENCH_INFER [--rounds N] [--seconds S] [--threads T] [--precisions P,...] [--lengths FILE]
                         [--out FILE.json] [MODEL[:BATCH] ...]
models: student (4 layers of 384), minilm (6 of 384), bert (12 of 768); precisions: f32, int8 (static), dynamic

Random weights, 128 tokens per text and no mask. With --lengths, a file of whole numbers, texts have the numbers of tokens
that it lists: a batch takes its first ones, and peers get a mask and are padded to the longest text of the batch, as their
users do. Batch 1 is then the mean over eight lengths, the 1st, 3rd ... 15th sixteenth of the sorted list, each peer
prepared for that very length.

Clocks of shared machines drift, so every contender gets a short turn in every round, and what is reported is the median over
rounds of the ratio, within one round, of our time to the fastest peer's. Needs torch, onnx, onnxruntime, openvino, nncf and
numpy from PyPI; the program under test needs none of them.
"""
import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

BATCHES = {"student": (1, 32), "minilm": (1, 32), "bert": (1, 8)}
TOKENS = 128


def parse():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("program", help="the bench_infer binary")
    p.add_argument("models", nargs="*", default=list(BATCHES), help="e.g. minilm bert:8")
    p.add_argument("--out")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--seconds", type=float, default=0.3, help="of one turn")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--precisions", default="f32,int8,dynamic")
    p.add_argument("--lengths", help="file with the numbers of tokens of texts")
    return p.parse_intermixed_args()


ARGS = parse()
os.environ["OMP_NUM_THREADS"] = str(ARGS.threads)
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
import nncf  # noqa: E402  (after the number of threads)
import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402
import openvino as ov  # noqa: E402
import torch  # noqa: E402
from onnxruntime.quantization import (CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic,  # noqa: E402
                                      quantize_static)
from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: E402
from torch import nn  # noqa: E402
from torch_encoder import ENCODERS, Encoder  # noqa: E402

torch.set_num_threads(ARGS.threads)
torch.manual_seed(0)
PRECISIONS = ARGS.precisions.split(",")


def batches(batch):
    """Lists of lengths, one list per batch that is timed."""
    if not ARGS.lengths:
        return [[TOKENS] * batch]
    with open(ARGS.lengths) as f:
        lengths = [int(n) for n in f.read().split()]
    if batch > 1:
        return [lengths[:batch]]
    lengths.sort()
    return [[lengths[len(lengths) * (2 * i + 1) // 16]] for i in range(8)]


def sample(lengths):
    """Inputs by name. A single text needs no mask."""
    longest = max(lengths)
    ids = torch.randint(1000, 30522, (len(lengths), longest))
    real = (torch.arange(longest)[None] < torch.tensor(lengths)[:, None]).float()
    return {"ids": ids, "real": real} if ARGS.lengths and len(lengths) > 1 else {"ids": ids}


class Reader(CalibrationDataReader):
    def __init__(self, lengths):
        self.batches = iter([{k: v.numpy() for k, v in sample(lengths).items()} for _ in range(4)])

    def get_next(self):
        return next(self.batches, None)


def onnx_session(path):
    o = ort.SessionOptions()
    o.intra_op_num_threads, o.inter_op_num_threads = ARGS.threads, 1
    return ort.InferenceSession(path, o, providers=["CPUExecutionProvider"])


class Peers:
    """All peers of one model and one kind of batch (with or without a mask)."""

    def __init__(self, name, lengths, folder):
        self.net = Encoder(*ENCODERS[name]).eval()
        x = sample(lengths)
        self.path = {p: f"{folder}/{name}.{p}.onnx" for p in ("f32", "int8", "dynamic")}
        torch.onnx.export(self.net, tuple(x.values()), self.path["f32"], input_names=list(x), output_names=["y"],
                          opset_version=17, dynamic_axes={k: {0: "n", 1: "t"} for k in x}, dynamo=False)
        prepared = f"{folder}/{name}.prepared.onnx"
        quant_pre_process(self.path["f32"], prepared, skip_symbolic_shape=True)
        if "int8" in PRECISIONS:
            quantize_static(prepared, self.path["int8"], Reader(lengths), quant_format=QuantFormat.QDQ, per_channel=True,
                            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        if "dynamic" in PRECISIONS:
            quantize_dynamic(prepared, self.path["dynamic"], per_channel=True, weight_type=QuantType.QInt8)
            self.dynamic = torch.ao.quantization.quantize_dynamic(self.net, {nn.Linear}, dtype=torch.qint8)
        self.core = ov.Core()
        self.ov = {"f32": self.core.read_model(self.path["f32"])}
        if "int8" in PRECISIONS:
            data = nncf.Dataset([{k: v.numpy() for k, v in sample(lengths).items()} for _ in range(4)])
            self.ov["int8"] = nncf.quantize(self.ov["f32"], data, subset_size=4, model_type=nncf.ModelType.TRANSFORMER)

    def openvino(self, precision, arrays):
        model = self.ov[precision].clone()
        model.reshape({k: list(v.shape) for k, v in arrays.items()})
        compiled = self.core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": ARGS.threads,
                                                          "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
        request = compiled.create_infer_request()
        return lambda: request.infer(arrays, share_inputs=True)

    def contenders(self, lengths):
        """{(engine, precision): callable}"""
        x = sample(lengths)
        arrays, out = {k: v.numpy() for k, v in x.items()}, {}
        for p in PRECISIONS:
            session = onnx_session(self.path[p])
            out["onnxruntime", p] = lambda session=session: session.run(None, arrays)
            if p in self.ov:
                out["openvino", p] = self.openvino(p, arrays)
        if "f32" in PRECISIONS:
            out["torch", "f32"] = lambda: self.net(**x)
        if "dynamic" in PRECISIONS:
            out["torch", "dynamic"] = lambda: self.dynamic(**x)
        return out


class Ours:
    def __init__(self):
        self.process = subprocess.Popen([ARGS.program, "--serve", str(ARGS.threads)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)

    def turn(self, model, lengths, precision):
        texts = "@" + ",".join(map(str, lengths)) if ARGS.lengths else ""
        self.process.stdin.write(f"{model}{texts} {len(lengths)} {precision} {ARGS.seconds}\n")
        line = self.process.stdout.readline()
        if not line:
            sys.exit("bench_infer ended; its message is above")
        return json.loads(line)["median_ms"]


def turn(call):
    for _ in range(3):
        call()
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < ARGS.seconds or len(times) < 5:
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return 1e3 * statistics.median(times)


def compare(name, batch, ours, folder):
    """Rows of one model and batch. A time is the mean over the batches that are timed."""
    wanted = batches(batch)
    peers, times = Peers(name, wanted[0], folder), {}
    calls = [peers.contenders(lengths) for lengths in wanted]
    with torch.inference_mode():
        for _ in range(ARGS.rounds):
            for key in calls[0]:
                times.setdefault(key, []).append(statistics.mean(turn(c[key]) for c in calls))
            for p in PRECISIONS:
                mine = statistics.mean(ours.turn(name, lengths, p) for lengths in wanted)
                times.setdefault(("pipeline", p), []).append(mine)
    rows = [{"model": name, "batch": batch, "engine": e, "precision": p, "median_ms": round(statistics.median(t), 4),
             "best_ms": round(min(t), 4)} for (e, p), t in times.items()]
    for p in PRECISIONS:
        rivals = {e: t for (e, q), t in times.items() if e != "pipeline" and q == p}
        ratios = [mine / min(r[i] for r in rivals.values()) for i, mine in enumerate(times["pipeline", p])]
        fastest = min(rivals, key=lambda e: statistics.median(rivals[e]))
        rows.append({"model": name, "batch": batch, "precision": p, "fastest_peer": fastest,
                     "ratio": round(statistics.median(ratios), 3), "least": round(min(ratios), 3),
                     "largest": round(max(ratios), 3)})
    return rows


def show(rows):
    for r in rows:
        at = f"{r['model']:8} b{r['batch']:<3} {r['precision']:8}"
        if "ratio" in r:
            print(f"{at} pipeline/{r['fastest_peer']}: {r['ratio']:.2f} ({r['least']:.2f} to {r['largest']:.2f})")
        else:
            print(f"{at} {r['engine']:12} {r['median_ms']:10.3f} ms  best {r['best_ms']:10.3f}")
    sys.stdout.flush()


def main():
    ours, rows = Ours(), []
    print(f"torch {torch.__version__}, onnxruntime {ort.__version__}, openvino {ov.__version__.split('-')[0]},"
          f" {ARGS.threads} threads, {ARGS.rounds} rounds of {ARGS.seconds} s, {ARGS.lengths or '128 tokens'}")
    for wanted in ARGS.models:
        name, _, batch = wanted.partition(":")
        for b in [int(batch)] if batch else BATCHES[name]:
            with tempfile.TemporaryDirectory() as folder:
                found = compare(name, b, ours, folder)
            show(found)
            rows += found
    if ARGS.out:
        with open(ARGS.out, "w") as f:
            json.dump({"torch": torch.__version__, "onnxruntime": ort.__version__, "openvino": ov.__version__,
                       "threads": ARGS.threads, "rounds": ARGS.rounds, "lengths": ARGS.lengths, "rows": rows}, f, indent=1)


if __name__ == "__main__":
    main()

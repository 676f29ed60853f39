#!/usr/bin/env python3
"""Writes golden_scores.h: what pruning scores units and weights by, computed by PyTorch in double precision from the
definitions alone. Models, inputs and labels follow from formulas that test_scores.c has too.

usage: make_scores.py > golden_scores.h   (needs torch)
"""
import math

import torch

torch.set_default_dtype(torch.float64)


def phase(name):
    h = 2166136261
    for c in name.encode():
        h = (h ^ c) * 16777619 % 2**32
    return h % 1000 / 100


def param(name, *shape):
    n = math.prod(shape)
    base, amp = (1, 0.3) if name.endswith(("LayerNorm.weight", "bn1.weight", "running_var")) else (0, 0.5)
    v = [base + amp * math.sin(phase(name) + 1.7 * i) for i in range(n)]
    return torch.tensor(v, dtype=torch.float32).double().reshape(shape)


def numbers(name, values):
    flat = [float(v) for v in torch.as_tensor(values).reshape(-1)]
    rows = [", ".join(f"{v:.9g}" for v in flat[i:i + 6]) for i in range(0, len(flat), 6)]
    print(f"static const double {name}[{len(flat)}] = {{{', '.join(rows)}}};")


def bits(name, mask):
    print(f'static const char {name}[] = "{"".join("1" if b else "0" for b in mask.reshape(-1))}";')


def keep_rows(score, share):
    """Per output: all but the smallest `share`."""
    flat = score.reshape(score.shape[0], -1)
    go = int(share * flat.shape[1] + 0.5)
    mask = torch.ones_like(flat, dtype=torch.bool)
    for o in range(flat.shape[0]):
        mask[o, torch.argsort(flat[o])[:go]] = False
    return mask


# ---- encoder: two layers, three heads of 2, five feed-forward units, hidden 6, mean of the rows, three classes ----
HIDDEN, HEADS, SIZE, FFN, LAYERS, VOCABULARY, POSITIONS = 6, 3, 2, 5, 2, 11, 8
LENGTHS, LABELS = [3, 5, 1, 4], [0, 2, 1, 1]


def texts():
    at = 0
    for n in LENGTHS:
        yield [(at + t) * 7 % VOCABULARY for t in range(n)]
        at += n


def linear(x, name, outputs):
    return x @ param(f"{name}.weight", outputs, x.shape[-1]).T + param(f"{name}.bias", outputs)


def norm(x, name):
    y = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-12)
    return y * param(f"{name}.weight", HIDDEN) + param(f"{name}.bias", HIDDEN)


def encode(ids, seen, gates, entropies):
    """Logits of one text. seen: what linear layers read; gates: one factor per head and unit of each layer."""
    def read(name, x):
        seen.setdefault(name, []).append(x.detach())
        return x
    e = "embeddings."
    x = param(e + "word_embeddings.weight", VOCABULARY, HIDDEN)[ids] + param(
        e + "token_type_embeddings.weight", 2, HIDDEN)[0] + param(
            e + "position_embeddings.weight", POSITIONS, HIDDEN)[:len(ids)]
    x = norm(x, e + "LayerNorm")
    for i in range(LAYERS):
        p = f"encoder.layer.{i}."
        read(p + "attention.self.query", x)
        q, k, v = (linear(x, f"{p}attention.self.{n}", HEADS * SIZE).reshape(-1, HEADS, SIZE)
                   for n in ("query", "key", "value"))
        a = torch.softmax(torch.einsum("ihd,jhd->hij", q, k) / math.sqrt(SIZE), -1)
        entropies[i].append(-(a * torch.log(a)).sum(-1).detach())
        y = torch.einsum("hij,jhd->ihd", a, v) * gates[2 * i][:, None]
        y = linear(read(p + "attention.output.dense", y.reshape(-1, HEADS * SIZE)), p + "attention.output.dense", HIDDEN)
        x = norm(x + y, p + "attention.output.LayerNorm")
        y = linear(read(p + "intermediate.dense", x), p + "intermediate.dense", FFN)
        y = 0.5 * y * (1 + torch.erf(y / math.sqrt(2))) * gates[2 * i + 1]
        y = linear(read(p + "output.dense", y), p + "output.dense", HIDDEN)
        x = norm(x + y, p + "output.LayerNorm")
    return linear(read("classifier", x.mean(0)), "classifier", 3)


def encoder():
    seen, entropies = {}, [[] for _ in range(LAYERS)]
    scores = [torch.zeros(n) for n in (HEADS, FFN) * LAYERS]
    for ids, label in zip(texts(), LABELS):
        gates = [torch.ones(len(s), requires_grad=True) for s in scores]
        logits = encode(ids, seen, gates, entropies)
        (torch.logsumexp(logits, 0) - logits[label]).backward()
        for s, g in zip(scores, gates):  # a gate's gradient is activation times gradient, summed over its places
            s += g.grad.abs() / len(LABELS)
    for name in ("encoder.layer.0.attention.output.dense", "encoder.layer.1.output.dense"):
        x = torch.cat(seen[name])
        label = name.split(".")[2] + ("_attention" if "attention" in name else "_ffn")
        numbers(f"norms_{label}", x.pow(2).sum(0).sqrt())
        w = param(name + ".weight", HIDDEN, x.shape[1])
        bits(f"rows_{label}", keep_rows(w.abs() * x.pow(2).sum(0).sqrt(), 0.5))
    for i in range(LAYERS):
        numbers(f"taylor_heads_{i}", scores[2 * i])
        numbers(f"taylor_ffn_{i}", scores[2 * i + 1])
        numbers(f"entropy_{i}", torch.cat(entropies[i], 1).mean(1))


# ---- CNN: a convolution of 3 with batch norm and pooling, a second of 4, a linear layer; 6 x 6 x 2 images ----
IMAGES, SIDE = 5, 6


def images():
    n = IMAGES * SIDE * SIDE * 2
    v = torch.tensor([math.cos(0.3 * i * (1 + i % 5)) for i in range(n)], dtype=torch.float32).double()
    return v.reshape(IMAGES, SIDE, SIDE, 2).permute(0, 3, 1, 2)


def cnn():
    f = torch.nn.functional
    x = images()
    scores = [torch.zeros(3), torch.zeros(4)]
    for s in range(IMAGES):
        gates = [torch.ones(3, requires_grad=True), torch.ones(4, requires_grad=True)]
        y = f.conv2d(x[s:s + 1], param("conv1.weight", 3, 3, 3, 2).permute(0, 3, 1, 2), padding=1)
        b = {n: param(f"bn1.{n}", 3)[:, None, None] for n in ("weight", "bias", "running_mean", "running_var")}
        y = torch.relu((y - b["running_mean"]) / torch.sqrt(b["running_var"] + 1e-5) * b["weight"] + b["bias"])
        y = f.max_pool2d(y * gates[0][:, None, None], 2)
        read = y.detach() if s == 0 else torch.cat([read, y.detach()])
        y = f.conv2d(y, param("conv2.weight", 4, 3, 3, 3).permute(0, 3, 1, 2), padding=1)
        b = {n: param(f"bn2.{n}", 4)[:, None, None] for n in ("weight", "bias", "running_mean", "running_var")}
        y = torch.relu((y - b["running_mean"]) / torch.sqrt(b["running_var"] + 1e-5) * b["weight"] + b["bias"])
        y = f.max_pool2d(y * gates[1][:, None, None], 2)
        logits = linear(y.permute(0, 2, 3, 1).reshape(1, -1), "fc1", 3)[0]
        (torch.logsumexp(logits, 0) - logits[s % 3]).backward()
        for total, g in zip(scores, gates):
            total += g.grad.abs() / IMAGES
    norms = read.pow(2).sum((0, 2, 3)).sqrt()
    numbers("norms_conv2", norms)
    bits("rows_conv2", keep_rows(param("conv2.weight", 4, 3, 3, 3).abs() * norms, 0.5))
    numbers("taylor_conv1", scores[0])
    numbers("taylor_conv2", scores[1])


if __name__ == "__main__":
    print("/* Written by make_scores.py. */\n/* clang-format off */")
    encoder()
    cnn()

#!/usr/bin/env python3
"""Decoding and resizing beside Pillow and torchvision: equal pixels of every image of an archive, and speed, in turns.

usage: peers_images.py BENCH_DECODE_IMAGES ARCHIVE HEIGHT WIDTH none|crop|stretch [--threads N] [--rounds N] [--equal]

ARCHIVE is a .tar or .tar.gz of JPEG or PNG files. All sides have the files in memory; Pillow and torchvision decode and resize
on a pool of as many threads, which they do without Python's lock, torch with one thread in each. cpu_us: microseconds of
processor time per image, the least of all rounds; ratio: a peer's time to ours, the median over the rounds. With --equal every
pixel of every image is compared with Pillow's instead. Needs Pillow and NumPy from PyPI; torchvision if it is there.
"""
import argparse
import concurrent.futures
import io
import json
import os
import pathlib
import statistics
import subprocess
import tarfile
import time

import numpy as np
import PIL
from PIL import Image

try:
    import torch
    import torchvision
    from torchvision.transforms.v2 import functional as transforms
except ImportError:
    torchvision = None

SUFFIXES = {".jpg", ".jpeg", ".png"}


def load(archive):
    with tarfile.open(archive) as t:
        return [t.extractfile(m).read() for m in t if m.isfile() and pathlib.Path(m.name).suffix.lower() in SUFFIXES]


def fit(data, height, width, resize):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if resize == "stretch":
        return image.resize((width, height), Image.BILINEAR)
    if resize == "none":
        return image
    if height * image.width >= width * image.height:
        size = (int(height * image.width / image.height), height)
    else:
        size = (width, int(width * image.height / image.width))
    image = image.resize(size, Image.BILINEAR)
    top, left = round((image.height - height) / 2.0), round((image.width - width) / 2.0)
    return image.crop((left, top, left + width, top + height))


def fit_torch(data, height, width, resize):
    """torchvision's decoder and, on bytes, its Resize with antialiasing and CenterCrop."""
    image = torchvision.io.decode_image(data, mode=torchvision.io.ImageReadMode.RGB)
    if resize == "none":
        return image
    if resize == "stretch":
        return transforms.resize(image, [height, width], antialias=True)
    _, h, w = image.shape
    size = [height, int(height * w / h)] if height * w >= width * h else [int(width * h / w), width]
    return transforms.center_crop(transforms.resize(image, size, antialias=True), [height, width])


def pillow_peer(files):
    return files, lambda data, *shape: fit(data, *shape).tobytes()


def torch_peer(files):
    torch.set_num_threads(1)
    return [torch.from_numpy(np.frombuffer(f, np.uint8).copy()) for f in files], fit_torch


def seconds_of(peer, a):
    files, make = peer
    with concurrent.futures.ThreadPoolExecutor(a.threads) as pool:
        start, cpu = time.perf_counter(), time.process_time()
        for _ in pool.map(lambda d: make(d, a.height, a.width, a.resize), files, chunksize=64):
            pass
        return time.perf_counter() - start, time.process_time() - cpu


def compare(a, files, command):
    size = a.height * a.width * 3
    with subprocess.Popen([*command, "--pixels"], stdout=subprocess.PIPE) as p:
        worst = differ = 0
        for data in files:
            ours = np.frombuffer(p.stdout.read(size), np.uint8).astype(int)
            theirs = np.asarray(fit(data, a.height, a.width, a.resize)).reshape(-1).astype(int)
            off = np.abs(ours - theirs)
            worst = max(worst, int(off.max()))
            differ += int((off > 0).sum())
    print(json.dumps({"images": len(files), "worst": worst, "values_that_differ": differ, "values": len(files) * size, "pillow": PIL.__version__}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("archive")
    parser.add_argument("height", type=int)
    parser.add_argument("width", type=int)
    parser.add_argument("resize", choices=["none", "crop", "stretch"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--equal", action="store_true")
    a = parser.parse_args()
    files = load(a.archive)
    command = [a.bench, a.archive, str(a.height), str(a.width), a.resize]
    if a.equal:
        return compare(a, files, command)
    peers = {"pillow": pillow_peer(files)}
    if torchvision:
        peers["torchvision"] = torch_peer(files)
    ours, theirs = [], {name: [] for name in peers}
    for _ in range(a.rounds):
        env = dict(os.environ, OMP_NUM_THREADS=str(a.threads))
        result = json.loads(subprocess.check_output([*command, "--rounds", "1"], env=env))
        ours.append((result["seconds"], result["cpu_seconds"]))
        for name, peer in peers.items():
            theirs[name].append(seconds_of(peer, a))
    n = len(files)

    def row(times):
        return {"per_s": round(n / statistics.median(t for t, _ in times)), "cpu_us": round(1e6 * min(c for _, c in times) / n, 1)}

    out = {"images": n, "ours": row(ours)}
    for name, times in theirs.items():
        ratios = sorted(t / o for (o, _), (t, _) in zip(ours, times))
        version = PIL.__version__ if name == "pillow" else torchvision.__version__
        out[name] = row(times) | {
            "ratio": round(statistics.median(ratios), 2),
            "least": round(ratios[0], 2),
            "most": round(ratios[-1], 2),
            "version": version,
        }
    print(json.dumps(out))


main()

#!/usr/bin/env python3
"""Decoding and resizing beside Pillow: equal pixels of every image of an archive, and speed, in turns.

usage: peers_images.py BENCH_DECODE_IMAGES ARCHIVE HEIGHT WIDTH none|crop|stretch [--threads N] [--rounds N] [--equal]

ARCHIVE is a .tar or .tar.gz of JPEG or PNG files. Both sides have the files in memory; Pillow decodes and resizes on a pool
of as many threads, which it does without Python's lock. cpu_us: microseconds of processor time per image, the least of all rounds. With --equal every pixel of every image is compared instead.
Needs Pillow and NumPy from PyPI.
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
    ours, theirs, ours_cpu, theirs_cpu = [], [], [], []
    for _ in range(a.rounds):
        env = dict(os.environ, OMP_NUM_THREADS=str(a.threads))
        result = json.loads(subprocess.check_output([*command, "--rounds", "1"], env=env))
        ours.append(result["seconds"])
        ours_cpu.append(result["cpu_seconds"])
        with concurrent.futures.ThreadPoolExecutor(a.threads) as pool:
            start, cpu = time.perf_counter(), time.process_time()
            for _ in pool.map(lambda d: fit(d, a.height, a.width, a.resize).tobytes(), files, chunksize=64):
                pass
            theirs.append(time.perf_counter() - start)
            theirs_cpu.append(time.process_time() - cpu)
    n = len(files)
    print(
        json.dumps(
            {
                "images": n,
                "ours_per_s": round(n / statistics.median(ours)),
                "pillow_per_s": round(n / statistics.median(theirs)),
                "ratio": round(statistics.median(t / o for o, t in zip(ours, theirs)), 2),
                "ours_cpu_us": round(1e6 * min(ours_cpu) / n, 1),
                "pillow_cpu_us": round(1e6 * min(theirs_cpu) / n, 1),
                "pillow": PIL.__version__,
            }
        )
    )


main()

#!/usr/bin/env python3
"""WordPiece beside the package `tokenizers`: equal ids on every text, and speed, interleaved.

usage: peers_tokenize.py BENCH_TOKENIZE ids   --vocabulary FILE [--vocabulary FILE] TEXTS ...
       peers_tokenize.py BENCH_TOKENIZE speed --vocabulary FILE [--rounds N] [--seconds S] [--cased] TEXTS ...

TEXTS is a file: .csv (every field of every row is a text), .tsv (likewise), any other a text per line; lines that are not
UTF-8 are read as ISO-8859-1. `ids` compares all ids with lower-casing on and off, whole and cut to 32, with special tokens
in the text and without. `speed` runs both in turns of the same minute, on one thread, and reports medians of the rounds'
ratios; tokenizers' time is that of encode_batch_fast (no offsets) and of encode_batch. Needs tokenizers from PyPI.
"""
import argparse
import csv
import json
import os
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def read_texts(path):
    raw = pathlib.Path(path).read_bytes()
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if path.endswith((".csv", ".tsv")):
        csv.field_size_limit(1 << 30)
        delimiter, quoting = ("\t", csv.QUOTE_NONE) if path.endswith(".tsv") else (",", csv.QUOTE_MINIMAL)
        return [field for row in csv.reader(text.splitlines(keepends=True), delimiter=delimiter, quoting=quoting) for field in row]
    return text.split("\n")


def make_peer(vocabulary, cased, special):
    # As `transformers` reads a vocabulary: of a repeated line the last one wins.
    lines = pathlib.Path(vocabulary).read_text().split("\n")
    if lines[-1] == "":
        lines.pop()
    ids = {token: i for i, token in enumerate(lines)}
    peer = Tokenizer(WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    peer.normalizer = BertNormalizer(lowercase=not cased)
    peer.pre_tokenizer = BertPreTokenizer()
    peer.post_processor = BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    peer.add_special_tokens([t for t in SPECIALS if t in ids])
    peer.encode_special_tokens = not special
    return peer


def write_texts(texts, f):
    for text in texts:
        raw = text.encode()
        f.write(struct.pack("=I", len(raw)) + raw)
    f.flush()


def our_ids(program, vocabulary, path, flags):
    raw = subprocess.run([program, vocabulary, path, "--ids", *flags], check=True, stdout=subprocess.PIPE).stdout
    words, at, out = memoryview(raw).cast("i"), 0, []
    while at < len(words):
        n = words[at]
        out.append(list(words[at + 1 : at + 1 + n]))
        at += 1 + n
    return out


def compare(args):
    bad = total_texts = total_ids = 0
    for path in args.texts:
        texts = read_texts(path)
        with tempfile.NamedTemporaryFile() as f:
            write_texts(texts, f)
            for vocabulary in args.vocabulary:
                for cased in (False, True):
                    for special in (False, True):
                        for cap in (None, 32):
                            peer = make_peer(vocabulary, cased, special)
                            if cap:
                                peer.enable_truncation(cap)
                            theirs = [e.ids for e in peer.encode_batch_fast(texts)]
                            flags = ["--cased"] * cased + ["--special"] * special + (["--cap", str(cap)] if cap else [])
                            ours = our_ids(args.program, vocabulary, f.name, flags)
                            wrong = [i for i in range(max(len(ours), len(theirs))) if ours[i : i + 1] != theirs[i : i + 1]]
                            ids = sum(map(len, theirs))
                            bad += len(wrong)
                            total_texts += len(texts)
                            total_ids += ids
                            print(f"{path} {pathlib.Path(vocabulary).name} cased={cased} special={special} cap={cap}: {len(texts)} texts, "
                                  f"{ids} ids, {len(wrong)} texts differ", flush=True)
                            for i in wrong[:3]:
                                print("   ", ascii(texts[i])[:200], "\n    ours ", ours[i][:40], "\n    their", theirs[i][:40])
    print(f"{total_texts} texts and {total_ids} ids compared, {bad} texts differ")
    return 1 if bad else 0


def processor_seconds(call, seconds):
    """The best of as many calls as fit."""
    best, begin = float("inf"), time.monotonic()
    while True:
        before = time.process_time()
        call()
        best = min(best, time.process_time() - before)
        if time.monotonic() - begin >= seconds:
            return best


def speed(args):
    for path in args.texts:
        texts = [t for t in read_texts(path) if t.strip()]
        peer = make_peer(args.vocabulary[0], args.cased, False)
        size = sum(len(t.encode()) for t in texts)
        rows = []
        with tempfile.NamedTemporaryFile() as f:
            write_texts(texts, f)
            for _ in range(args.rounds):
                out = subprocess.run([args.program, args.vocabulary[0], f.name, "--seconds", str(args.seconds)] + ["--cased"] * args.cased,
                                     check=True, stdout=subprocess.PIPE).stdout
                ours = json.loads(out)
                fast = size / processor_seconds(lambda: peer.encode_batch_fast(texts), args.seconds) / 1e6
                full = size / processor_seconds(lambda: peer.encode_batch(texts), args.seconds) / 1e6
                rows.append((ours["mb_s"], fast, full, ours["mb_s"] / fast, ours["mb_s"] / full))
        ours, fast, full, ratio_fast, ratio_full = (statistics.median(column) for column in zip(*rows))
        print(json.dumps({"texts": path, "n": len(texts), "bytes": size, "rounds": args.rounds, "ours_mb_s": round(ours, 1),
                          "encode_batch_fast_mb_s": round(fast, 2), "encode_batch_mb_s": round(full, 2),
                          "times_encode_batch_fast": round(ratio_fast, 1), "times_encode_batch": round(ratio_full, 1),
                          "lowest_ratio": round(min(r[3] for r in rows), 1), "highest_ratio": round(max(r[4] for r in rows), 1)}), flush=True)
    return 0


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("program", help="the bench_tokenize binary")
    p.add_argument("what", choices=("ids", "speed"))
    p.add_argument("texts", nargs="+")
    p.add_argument("--vocabulary", action="append", required=True)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=0.5, help="of one turn")
    p.add_argument("--cased", action="store_true")
    args = p.parse_intermixed_args()
    return compare(args) if args.what == "ids" else speed(args)


sys.exit(main())

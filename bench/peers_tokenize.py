#!/usr/bin/env python3
"""WordPiece beside the package `tokenizers`: equal ids on every text, and speed, interleaved.

usage: peers_tokenize.py BENCH_TOKENIZE ids   --vocabulary FILE [--vocabulary FILE] TEXTS ...
       peers_tokenize.py BENCH_TOKENIZE random [--texts N] [--seed N]
       peers_tokenize.py BENCH_TOKENIZE speed --vocabulary FILE [--rounds N] [--seconds S] [--cased] TEXTS ...

TEXTS is a file: .csv (every field of every row is a text), .tsv (likewise), any other a text per line; lines that are not
UTF-8 are read as ISO-8859-1. `ids` compares all ids with lower-casing on and off, whole and cut to 32, with special tokens
in the text and without. `random` compares texts of random characters and random bytes under every combination of flags,
with a vocabulary that has every code point, so that the ids show all that the normalizer does. `speed` runs both in turns of
the same minute, on one thread, texts of at least 16 bytes, and reports medians of the rounds' ratios; tokenizers' time is
that of encode_batch_fast (no offsets) and of encode_batch. Needs tokenizers from PyPI.
"""
import argparse
import csv
import itertools
import json
import os
import pathlib
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata

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
    """Texts as str, or as bytes where they need not be UTF-8."""
    for text in texts:
        raw = text if isinstance(text, bytes) else text.encode()
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


def random_texts(dice, n):
    marks = [chr(c) for c in range(0x110000) if unicodedata.combining(chr(c))]

    def character():
        kind = dice.random()
        if kind < 0.25:
            return chr(dice.randrange(128))
        if kind < 0.4:
            return dice.choice(marks)
        c = dice.randrange(0x3100 if kind < 0.8 else 0x10000 if kind < 0.9 else 0x110000)
        return "x" if 0xD800 <= c <= 0xDFFF else chr(c)

    for i in range(n):
        raw = "".join(character() for _ in range(dice.randrange(1, 30))).encode()
        if i % 4 == 0:
            raw = bytes(dice.randrange(256) if dice.random() < 0.1 else b for b in raw)
        yield raw


def compare_random(args):
    everything = [chr(c) for c in range(1, 0x110000) if not 0xD800 <= c <= 0xDFFF and chr(c) not in "\r\n"]
    tokens = SPECIALS + everything + ["##" + c for c in everything]
    ids = {t: i for i, t in enumerate(tokens)}
    peer = Tokenizer(WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    peer.pre_tokenizer = BertPreTokenizer()
    peer.post_processor = BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    raws = list(random_texts(random.Random(args.seed), args.count))
    texts = [r.decode("utf-8", "replace") for r in raws]
    bad = total = 0
    with tempfile.NamedTemporaryFile() as f, tempfile.NamedTemporaryFile("w", newline="\n") as v:
        v.write("".join(t + "\n" for t in tokens))
        v.flush()
        write_texts(raws, f)
        for clean, cjk, strip, lower in itertools.product((False, True), (False, True), (None, False, True), (False, True)):
            peer.normalizer = BertNormalizer(clean_text=clean, handle_chinese_chars=cjk, strip_accents=strip, lowercase=lower)
            flags = [] if clean else ["--no-clean"]
            flags += [] if cjk else ["--no-cjk"]
            flags += [] if lower else ["--cased"]
            flags += {None: [], False: ["--keep-accents"], True: ["--strip-accents"]}[strip]
            ours, theirs = our_ids(args.program, v.name, f.name, flags), [e.ids for e in peer.encode_batch_fast(texts)]
            wrong = [i for i in range(len(texts)) if ours[i] != theirs[i]]
            bad += len(wrong)
            total += sum(map(len, theirs))
            print(f"clean_text={clean} handle_chinese_chars={cjk} strip_accents={strip} lowercase={lower}: {len(wrong)} texts differ", flush=True)
            for i in wrong[:3]:
                print("   ", raws[i].hex(), "\n    ours ", ascii([tokens[k] for k in ours[i]]), "\n    their", ascii([tokens[k] for k in theirs[i]]))
    print(f"{len(texts)} texts under 24 combinations of flags, {total} ids compared, {bad} texts differ")
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
        texts = [t for t in read_texts(path) if len(t.encode()) >= 16]
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
    p.add_argument("what", choices=("ids", "random", "speed"))
    p.add_argument("texts", nargs="*")
    p.add_argument("--vocabulary", action="append", default=[])
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=0.5, help="of one turn")
    p.add_argument("--cased", action="store_true")
    p.add_argument("--texts", dest="count", type=int, default=20000, help="random texts")
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_intermixed_args()
    if args.what != "random" and not (args.texts and args.vocabulary):
        p.error("a vocabulary and texts are needed")
    return {"ids": compare, "random": compare_random, "speed": speed}[args.what](args)


sys.exit(main())

#!/usr/bin/env python3
"""Writes tests/text/golden_{vocabulary,texts,pairs,unicode}.txt from the package `tokenizers` 0.23.3.

usage: make_golden.py FOLDER [PAIRS]      (PAIRS: so many pairs of texts, not the 1200 of the file here)

golden_texts.txt has three lines a text: `text` and its bytes in hexadecimal; `words` and one digest for each combination
of BertNormalizer's flags, in the order of combinations(): the first 6 digits of the SHA-256 of the words, each with a line
feed behind it (a word above 100 characters is "<long>"); `ids`, with golden_vocabulary.txt, for each of CONFIGS.
golden_pairs.txt has two texts of golden_texts.txt by number, the longest pair, and the first 6 digits of the SHA-256 of
what the first of CONFIGS makes of them, cut by longest_first: the ids, then the place of the first token of type 1.
golden_unicode.txt has one digest for each combination in which one flag, or none, or every flag is on: of the words of
"a" + c + "b" for every code point c.
"""
import functools
import hashlib
import itertools
import pathlib
import random
import sys

import tokenizers
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# lowercase, special tokens in the text, longest
CONFIGS = [(True, False, None), (False, True, None), (True, True, 8)]
split = BertPreTokenizer().pre_tokenize_str


def combinations():
    """clean_text, handle_chinese_chars, strip_accents, lowercase."""
    return list(itertools.product((False, True), (False, True), (None, False, True), (False, True)))


def words(normalizer, text):
    return ["<long>" if len(w) > 100 else w for w, _ in split(normalizer.normalize_str(text))]


def normalizer(flags):
    clean, cjk, strip, lower = flags
    return BertNormalizer(clean_text=clean, handle_chinese_chars=cjk, strip_accents=strip, lowercase=lower)


HAND = [
    "", " ", "\t\n\r", "hello", "Hello, World!", "The quick brown Fox", "isn't it?", "a-b_c", "e-mail@example.com", "$1,234.56%",
    "unaffable", "x" * 99, "x" * 100, "x" * 101, "x" * 200, "é" * 100, "e\u0301" * 100, "e\u0301" * 101, "é" * 101, "\u0301" * 300,
    "a" * 100 + "\u0301", "a" * 101 + " b", "!" * 150, "漢" * 120, "\u0130" * 60,
    # accents, composed and decomposed, and their order
    "café cafe\u0301 CAFÉ", "Ångström A\u030angstro\u0308m", "ş̌ s\u0327\u030c s\u030c\u0327", "ﬁ ﬀ ĳ Ĳ", "naïve façade", "\u1e69 \u1e9b\u0323",
    "\u0344 \u0340\u0341", "\u0385 \u1fee \u1fef \u037e \u0387 \u2260 \u226e", "a\u034f\u0301\u0323", "\u0f71\u0f72\u0f74 \u0f73",
    "\u302e\u302f\u302e \u1d15e \U0001d15e\U0001d165\U0001d16d", "\u1b44\u302e a\u302f\u1b44 b\u302e\u034f\u1b44", "가각힣 \u1100\u1161\u11a8 한국어",
    # CJK: both ends of every range, their neighbours, compatibility ideographs, the range that begins late
    "a\u33ffb\u3400c\u4dbfd\u4dc0e", "a\u4dffb\u4e00c\u9fffd\ua000e", "a\uf8ffb\uf900c\ufaffd\ufb00e", "a\U0001ffffb\U00020000c\U0002a6dfd\U0002a6e0e",
    "a\U0002a6ffb\U0002a700c\U0002b73fd\U0002b740e\U0002b81ff", "a\U0002b820b\U0002b91fc\U0002b920d\U0002ceafe\U0002ceb0f", "a\U0002f7ffb\U0002f800c\U0002fa1fd\U0002fa20e",
    "日本語テキスト ひらがな", "中文abc中文", "\u3000全角　空白", "ﾊﾝｶｸ ｶﾞ が か\u3099", "\u3001\u3002「」",
    # emoji
    "👍🏽 ok", "👨‍👩‍👧‍👦family", "🇩🇪🇧🇩", "☺️ ❤️‍🔥 1️⃣", "good😀bad",
    # controls, not assigned, private use, noncharacters
    "a\x00b\x01c\x1fd\x7fe\x80f\x85g\x9fh", "a\x0bb\x0cc\x1cd\x1de", "soft\xadhyphen", "zero\u200bwidth\u200cnon\u200djoin\ufeffbom", "a\u0378b\u05ffc\u0870d\u08b5e\U0001f8ff",
    "a\ue000b\uf8ffc\U000f0000d\U0010ffffe", "a\ufffeb\uffffc\ufdd0d", "\ufffd a\ufffdb", "a\u180eb\u061cc\u2066d\u2069e", "\U000e0001\U000e0020tag\U000e007f",
    # white space
    "a\xa0b\u1680c\u2000d\u200ae\u2028f\u2029g\u202fh\u205fi\u3000j", "  lead  and   trail  ", "a\tb\nc\rd\r\ne",
    # lower case
    "\u0130stanbul ISTANBUL ıi", "Straße STRASSE \u1e9e", "ΟΔΥΣΣΕΥΣ ΣΑΣ Σ άΣ", "ǅ Ǆ ǆ Ω Å K", "ᏣᎳᎩ ꭰ Ა ა", "𐐀𐐨 Ა 𞤀", "\u1c89 \ua7cb \ua7dc \U00010d50 \U00016ea0", "MİXED Ça Éa",
    # Bangla and its neighbours, with the joiners
    "বাংলা ভাষা", "র\u200d্যাব র্\u200cয ক্\u200dষ", "আমি বাংলায় গান গাই।", "\u09dc \u09a1\u09bc \u09df \u09cb \u09c7\u09be", "৳৫০০ ১২৩", "हिन्दी नमस्ते।", "\u0928\u093c \u0929",
    "ภาษาไทย น้ำ", "עִבְרִית", "العَرَبِيَّة ۝", "தமிழ் \u0bca", "\u1014\u103a\u1039",
    # marks and punctuation that the old tables do not know
    "a\u08d4b\u1dfbc\ua8c5d\U0001e944e", "a\u2e43b\u2e52c\U00011944d\u0a76e", "\u061d \u1b7d \u2e4f", "\U00011938 \U00011935\U00011930", "a\u0898\u0323 a\u08d4\u0323 b\u1abf\u0316",
    # special tokens
    "[CLS] a [SEP]", "a[SEP]b", "[sep] [Sep] [ SEP ]", "[UNK][PAD][MASK]", "[MASK]ed e\u0301[MASK]\u0301 [[SEP]]", "[SEP", "[", "x[MASK", "##ing ##", "[unused0]",
]
INVALID = [
    b"\xff\xfe", b"a\xc3b", b"a\xc3", b"\xe2\x82", b"\xe2\x82a", b"\xf0\x9f\x98", b"\xf0\x9f\x98\xf0\x9f\x98\x80", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80\xed\xb0\x80",
    b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"caf\xe9 latin", b"\x80\x80\x80", b"a\xf1\x80\x80b\xe1\x80c\xc2", b"\xe4\xb8\xff\xad",
]
# What the random texts are made of: one character in three of ASCII.
ALPHABET = [chr(c) for block in (
    range(0x00, 0x20), range(0x7F, 0x180), range(0x1E00, 0x1E20), range(0x1EA0, 0x1EC0), range(0x300, 0x370), range(0x370, 0x3FF), range(0x8D0, 0x900),
    range(0x980, 0x9FF), range(0xF71, 0xF85), range(0x1AB0, 0x1ACF), range(0x1B30, 0x1B45), range(0x1BF0, 0x1BF4), range(0x1DF5, 0x1E00), range(0x1F00, 0x1F10),
    range(0x1FB0, 0x1FF0), range(0x2000, 0x2070), range(0x2126, 0x212C), range(0x302A, 0x3031), range(0x3400, 0x3403), range(0xA7C8, 0xA7DD), range(0xA953, 0xA954),
    range(0xAC00, 0xAC20), range(0xF900, 0xF908), range(0x10D50, 0x10D54), range(0x1133B, 0x11350), range(0x11938, 0x1193F), range(0x16FF0, 0x16FF2),
    range(0x1D15E, 0x1D174), range(0x1E000, 0x1E005), range(0x1E944, 0x1E94B), range(0x2B81E, 0x2B822), range(0x2B91E, 0x2B922), range(0x2F800, 0x2F804)) for c in block]


def random_texts(n):
    dice = random.Random(1)
    for _ in range(n):
        yield "".join(chr(dice.randrange(32, 127)) if dice.random() < 0.3 else dice.choice(ALPHABET) for _ in range(dice.randrange(5, 25)))


def vocabulary(texts):
    """Letters, some characters and beginnings of the texts' words: enough to see where words are cut, and [UNK] too."""
    dice = random.Random(2)
    tokens = dict.fromkeys(SPECIALS + ["[unused0]"])
    tokens.update(dict.fromkeys(p + c for c in "abcdefghijklmnopqrstuvwxyzABCDEHKS0123456789" for p in ("", "##")))
    tokens.update(dict.fromkeys("the quick brown hello ##llo ##ing un ##aff ##able !  ? , . [ ] xx ##xxxxx cafe caf ##é".split()))
    pieces = sorted({w[:n] for t in texts for f in ((True, True, None, True), (True, True, None, False)) for w in words(normalizer(f), t) for n in (1, 2, 3)})
    for piece in dice.sample(pieces, len(pieces) // 3):
        tokens["##" * dice.randrange(2) + piece] = None
    characters = sorted({c for p in pieces for c in p})
    for c in dice.sample(characters, len(characters) // 2):
        tokens.update(dict.fromkeys((c, "##" + c)))
    return [t for t in tokens if t and not any(c.isspace() or c == "\x00" for c in t)]


def tokenizer(tokens, lower, special, longest):
    ids = {t: i for i, t in enumerate(tokens)}
    t = Tokenizer(WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = BertNormalizer(lowercase=lower)
    t.pre_tokenizer = BertPreTokenizer()
    t.post_processor = BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    t.add_special_tokens(SPECIALS)
    t.encode_special_tokens = not special
    if longest:
        t.enable_truncation(longest)
    return t


def digest(normalizers, text):
    return [hashlib.sha256("".join(w + "\n" for w in words(n, text)).encode()).hexdigest()[:6] for n in normalizers]


def pairs(texts, tokens, n):
    dice = random.Random(3)
    for _ in range(n):
        i, j = dice.randrange(len(texts)), dice.randrange(len(texts))
        longest = dice.choice((3, 4, 5, 6, 7, 8, 9, 12, 16, 17, 24, 31, 1000))
        e = peer(tokens, longest).encode(texts[i], texts[j])
        said = " ".join(map(str, e.ids + [e.type_ids.index(1)]))
        yield f"pair {i} {j} {longest} {hashlib.sha256(said.encode()).hexdigest()[:6]}\n"


@functools.lru_cache(None)
def peer(tokens, longest):
    return tokenizer(tokens, *CONFIGS[0][:2], longest)


def unicode_digests():
    for flags in [(False, False, False, False), (True, False, False, False), (False, True, False, False), (False, False, True, False),
                  (False, False, False, True), (True, True, True, True)]:
        n, h = normalizer(flags), hashlib.sha256()
        for c in range(0x110000):
            if not 0xD800 <= c <= 0xDFFF:
                h.update("".join(w + "\n" for w in words(n, "a" + chr(c) + "b")).encode())
        yield " ".join(str(int(f)) for f in flags) + " " + h.hexdigest() + "\n"


def main():
    if tokenizers.__version__ != "0.23.3":
        raise SystemExit(f"tokenizers {tokenizers.__version__}; the golden files are those of 0.23.3")
    out = pathlib.Path(sys.argv[1])
    raws = [t.encode() for t in HAND] + INVALID + [t.encode() for t in random_texts(90)]
    texts = [r.decode("utf-8", "replace") for r in raws]
    tokens = vocabulary(texts)
    (out / "golden_vocabulary.txt").write_text("".join(t + "\n" for t in tokens), newline="\n")
    peers, normalizers = [tokenizer(tokens, *c) for c in CONFIGS], [normalizer(f) for f in combinations()]
    with open(out / "golden_texts.txt", "w") as f:
        for raw, text in zip(raws, texts):
            f.write("text " + raw.hex() + "\n")
            f.write("words " + " ".join(digest(normalizers, text)) + "\n")
            for peer in peers:
                f.write("ids " + " ".join(map(str, peer.encode(text).ids)) + "\n")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1200
    (out / "golden_pairs.txt").write_text("".join(pairs(texts, tuple(tokens), count)))
    (out / "golden_unicode.txt").write_text("".join(unicode_digests()))


main()

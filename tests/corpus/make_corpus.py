#!/usr/bin/env python3
"""Writes the corpora of tests/corpus/{safetensors,checkpoint,idx,archive,csv,image,vocabulary} (standard library only).

good_* files must be accepted, bad_* files refused: test_corpus.c of tests/store, tests/data and tests/text check that, and the fuzz targets start from both. Hand-kept inputs, which this script reads and does not write:
checkpoint/good_*.json (saved by the program) and image/good_{grey,rgb,progressive}.jpg (made with libjpeg).
"""
import bz2
import gzip
import io
import json
import lzma
import pathlib
import struct
import tarfile
import zipfile
import zlib

HERE = pathlib.Path(__file__).resolve().parent


def put(path, data):
    path = HERE / path
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def tensors(header, data=b"", length=None):
    text = header if isinstance(header, str) else json.dumps(header, separators=(",", ":"))
    raw = text.encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors():
    w = struct.pack("<6f", 1, -2, 3, 0, 0.5, 1e-3)
    mixed = {
        "__metadata__": {"format": "pt"},
        "b": entry("F16", [2], 24, 28),
        "m": entry("U8", [1, 3], 28, 31),
        "q": entry("I8", [3], 31, 34),
        "w": entry("F32", [2, 3], 0, 24),
    }
    put("safetensors/good_mixed.safetensors", tensors(mixed, w + b"\0\x3c\0\x3c" + b"\1\0\1" + b"\1\2\3"))
    put("safetensors/good_empty.safetensors", tensors("{}"))
    put("safetensors/good_scalar.safetensors", tensors({"s": entry("I32", [], 0, 4)}, b"\1\0\0\0"))
    put("safetensors/good_padded.safetensors", tensors('{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}   ', b"\0" * 4))
    bad = {
        "overlap": ({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, b"\0" * 12),
        "hole": ({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 8, 12)}, b"\0" * 12),
        "past_end": ({"a": entry("F32", [4], 0, 16)}, b"\0" * 8),
        "left_over": ({"a": entry("F32", [1], 0, 4)}, b"\0" * 8),
        "size": ({"a": entry("F32", [3], 0, 8)}, b"\0" * 8),
        "huge_shape": ({"a": entry("F32", [2**31 - 1] * 4, 0, 8)}, b"\0" * 8),
        "overflow_shape": ({"a": entry("U8", [2**62, 4], 0, 0)}, b""),
        "negative_shape": ({"a": entry("F32", [-1], 0, 4)}, b"\0" * 4),
        "five_dims": ({"a": entry("U8", [1] * 5, 0, 1)}, b"\0"),
        "dtype": ({"a": entry("F64", [1], 0, 8)}, b"\0" * 8),
        "nan": ({"a": entry("F32", [1], 0, 4)}, struct.pack("<f", float("nan"))),
        "infinity_f16": ({"a": entry("F16", [1], 0, 2)}, b"\0\x7c"),
        "infinity_bf16": ({"a": entry("BF16", [1], 0, 2)}, b"\x80\x7f"),
        "metadata": ({"__metadata__": {"n": 1}}, b""),
        "not_object": ("[]", b""),
        "no_json": ("{abc}", b""),
        "duplicate": ('{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}', b""),
        "nul": ("{\0}", b""),
        "deep": ('{"a":' + "[" * 3000 + "]" * 3000 + "}", b""),
        "trailing": ("{} {}", b""),
    }
    for name, (header, data) in bad.items():
        put(f"safetensors/bad_{name}.safetensors", tensors(header, data))
    put("safetensors/bad_short.safetensors", b"\1\2\3")
    put("safetensors/bad_length.safetensors", tensors("{}", length=2**63))
    put("safetensors/bad_length_small.safetensors", tensors("{}", length=3))


def idx(ndim, dims, data, kind=8, zeros=b"\0\0"):
    return zeros + bytes([kind, ndim]) + b"".join(struct.pack(">I", d) for d in dims) + data


def packed(data):
    return gzip.compress(data, mtime=0)


def idx_files():
    images = idx(3, [4, 3, 5], bytes(range(60)))
    labels = idx(1, [4], bytes([0, 1, 2, 1]))
    put("idx/good_images", images)
    put("idx/good_labels", labels)
    put("idx/good_images.gz", packed(images))
    put("idx/good_four_dims", idx(4, [1, 2, 2, 3], bytes(12)))
    put("idx/bad_empty", b"")
    put("idx/bad_magic", idx(1, [4], bytes(4), zeros=b"\0\1"))
    put("idx/bad_type", idx(1, [1], bytes(4), kind=0x0D))
    put("idx/bad_no_dims", idx(0, [], bytes(4)))
    put("idx/bad_many_dims", idx(200, [1] * 200, bytes(1)))
    put("idx/bad_zero_dim", idx(3, [4, 0, 5], b""))
    put("idx/bad_header_cut", images[:9])
    put("idx/bad_data_cut", images[:-1])
    put("idx/bad_left_over", images + b"\0")
    put("idx/bad_huge", idx(3, [2**32 - 1] * 3, b"\0"))
    put("idx/bad_large", idx(3, [60000, 28, 28], bytes(100)))
    put("idx/bad_cut.gz", packed(images)[:-12])
    put("idx/bad_checksum_cut.gz", packed(images)[:-2])
    crc = bytearray(packed(images))
    crc[-7] ^= 1
    put("idx/bad_crc.gz", bytes(crc))
    put("idx/bad_gzip_in_gzip.gz", packed(packed(images)))
    put("idx/good_two_members.gz", packed(images[:30]) + packed(images[30:]))
    put("idx/good_padded.gz", packed(images) + bytes(9))
    put("idx/bad_behind.gz", packed(images) + b"more")
    put("idx/bad_bomb.gz", packed(bytes(1 << 16)))


def member(name, data=b"", kind=tarfile.REGTYPE, link=""):
    """A file of a tar, with nothing around it."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    return info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % 512)


def zipped(entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in entries:
            z.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def archives():
    end = bytes(1024)
    files = [("set/cat/1.png", b"first" * 20), ("set/dog/1.png", b"second"), ("set/L\u00e9ame.txt", b"text")]
    plain = b"".join(member(name, data) for name, data in files)
    put("archive/good_plain.tar", plain + end)
    put("archive/good_packed.tar.gz", packed(plain + end))
    put("archive/good_packed.tar.bz2", bz2.compress(plain + end))
    put("archive/good_packed.tar.xz", lzma.compress(plain + end))
    put("archive/bad_cut.tar.xz", lzma.compress(plain + end)[:-9])
    put("archive/good_joined.tar.gz", packed(plain + end) + packed(member("set/owl/1.png", b"third") + end))
    put("archive/good_links.tar.gz", packed(
        member("set/fox", kind=tarfile.SYMTYPE, link="dog") + plain + member("set/cat/2.png", kind=tarfile.LNKTYPE, link="set/dog/1.png")
        + member("set/cat/3.png", kind=tarfile.SYMTYPE, link="2.png") + member("set/cat/all", kind=tarfile.SYMTYPE, link="..")
        + member("set/cat/up.png", kind=tarfile.SYMTYPE, link="../../../up.png") + end))
    put("archive/good_splits.tar.gz", packed(b"".join(
        member(f"set/{name}.png", name.encode()) for name in ("train/cat/1", "train/dog/1", "test/cat/1", "test/dog/1")) + end))
    put("archive/good_files.zip", zipped(files))
    put("archive/bad_empty.zip", b"")
    put("archive/bad_text.tar.gz", packed(b"no archive"))
    put("archive/bad_twice.tar.gz", packed(packed(plain + end)))
    put("archive/bad_cut.tar.gz", packed(plain + end)[:-30])
    put("archive/bad_behind.tar.gz", packed(plain + end) + b"more")
    put("archive/bad_name.tar.gz", packed(member("../cat/1.png", b"x") + end))
    put("archive/bad_deep.tar.gz", packed(member("a/" * 70 + "1.png", b"x") + end))
    for name, place in (("crc", -7), ("length", -3)):
        damaged = bytearray(packed(plain + end))
        damaged[place] ^= 1
        put(f"archive/bad_{name}.tar.gz", bytes(damaged))
    damaged = bytearray(zipped(files))
    damaged[damaged.index(b"set/cat/1.png") + 20] ^= 1
    put("archive/bad_data.zip", bytes(damaged))


def csv_files():
    put("csv/good_from_one.csv", "filename;target;partition\n/a/b.jpg;1;train\na/c.jpg;2;dev\n/d.jpg;3;test\n \n")
    put("csv/good_index.csv", "file,label,class,archive,split\na/b.jpg,0,a,core,train\na/c.jpg,0,a,rest,test\n")
    put("csv/good_crlf.csv", "file,class\r\nx.png,A\r\n")
    put("csv/good_quotes.csv", 'file,"cl""ass"\n"a,b\r\nc",""\n')
    put("csv/good_bom_no_newline.csv", b"\xef\xbb\xbffile,label\nx,1")
    put("csv/good_one_column.csv", "file\n\nx\n")
    put("csv/good_texts.csv", "text,label\na1,A\na2,A\na3,A\nb1,B\nb2,B\nb3,B\na1,B\n")
    put("csv/good_pairs.csv", "sentence1,sentence2,label\na,b,A\nab,c,A\na,bc,A\n x, y ,B\nb,a,B\nc,a,B\na,b,B\n")
    put("csv/good_sets.csv", "id,text,x,y\n1,a,1,0\n2,b,0,1\n3,\"c\nd\",1,1\n4,e,0,0\n5,f,1,0\n6,a,0,1\n\n")
    put("csv/bad_empty.csv", "")
    put("csv/bad_bom_only.csv", b"\xef\xbb\xbf")
    put("csv/bad_open_quote.csv", 'file,label\n"a,1\nb,2\n')
    put("csv/bad_quote_inside.csv", 'file,label\na"b,1\n')
    put("csv/bad_after_quote.csv", 'file,label\n"a"b,1\n')
    put("csv/bad_fields.csv", "file,label\na,1,2\n")
    put("csv/bad_few_fields.csv", "file,label\na\n")
    put("csv/bad_nul.csv", b"file,label\na\0,1\n")
    put("csv/bad_nul_quoted.csv", b'file,label\n"a\0",1\n')
    put("csv/bad_cr.csv", "file,label\ra,1\r")


def jsonl_files():
    six = [(t, t[0].upper()) for t in ("a1", "a2", "a3", "b1", "b2", "b3")]
    lines = [json.dumps({"text": t, "label": l}) for t, l in six]
    put("jsonl/good_classes.jsonl", "\n".join(lines) + "\n")
    put("jsonl/good_crlf_bom.jsonl", b"\xef\xbb\xbf" + "\r\n".join(lines + [""]).encode())
    put("jsonl/good_pairs.jsonl", "".join(json.dumps({"question": a, "sentence": b, "label": k}) + "\n" for a, b, k in [("a", "b", 0), ("ab", "c", 0), ("a", "bc", 0), ("x", "y", 1), ("b", "a", 1), ("c", "a", 1)]))
    put("jsonl/good_numbers.jsonl", "\n".join(json.dumps({"label": i % 2, "sentence": f"{i} \u0995\n\U0001f600"}) for i in range(6)))
    put("jsonl/good_truth.jsonl", "\n".join(json.dumps({"text": f"t{i}", "class": i < 3}) for i in range(6)))
    put("jsonl/good_names.jsonl", "\n".join(json.dumps({"text": f"t{i}", "label": ["x", "y"][: i % 3]}) for i in range(9)))
    bad = {
        "empty": "", "blank": "\n\n", "list": "[]", "number": "1", "two": "{} {}", "cut": lines[0][:-3],
        "no_text": '{"label":"A"}', "no_label": '{"text":"a"}', "null": '{"text":"a","label":null}',
        "fraction": '{"text":"a","label":0.5}', "nul": '{"text":"a\\u0000b","label":"A"}',
        "twice": '{"text":"a","text":"b","label":"A"}', "blank_text": '{"text":" ","label":"A"}',
        "surrogate": '{"text":"\\ud800","label":"A"}', "both": '{"text":"a","comment":"b","label":"A"}',
        "mixed": '{"text":"a","label":["A"]}\n{"text":"b","label":"A"}', "one_class": "\n".join(lines[:3]),
    }
    for name, text in bad.items():
        put(f"jsonl/bad_{name}.jsonl", text)
    put("jsonl/bad_latin1.jsonl", lines[0].encode() + b'\n{"text":"caf\xe9","label":"B"}')


def chunk(kind, data, crc=None):
    value = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", value)


def png(w, h, depth, color, rows, extra=b"", interlace=0, body=None):
    body = zlib.compress(rows) if body is None else body
    head = struct.pack(">IIBBBBB", w, h, depth, color, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def images():
    grey = b"".join(b"\0" + bytes(range(10 * y, 10 * y + 5)) for y in range(4))
    put("image/good_grey.png", png(5, 4, 8, 0, grey))
    put("image/good_rgb.png", png(2, 2, 8, 2, b"\0" + bytes(6) + b"\1" + bytes(6)))
    put("image/good_palette.png", png(3, 1, 2, 3, b"\0\x18", chunk(b"PLTE", bytes(range(9)))))
    put("image/good_bits.png", png(9, 2, 1, 0, b"\0\xaa\x80" * 2))
    put("image/good_opaque_rgba.png", png(1, 1, 8, 6, b"\0\1\2\3\xff"))
    put("image/good_transparent.png", png(1, 1, 8, 6, b"\0\1\2\3\x7f"))
    put("image/good_trns.png", png(1, 1, 8, 0, b"\0\7", chunk(b"tRNS", b"\0\7")))
    put("image/good_16_bits.png", png(1, 1, 16, 0, b"\0\1\2"))
    put("image/bad_huge.png", png(2**31 - 1, 2**31 - 1, 8, 0, b"\0"))
    put("image/bad_large.png", png(16385, 1, 8, 0, b"\0" * 16386))
    put("image/bad_zero.png", png(0, 1, 8, 0, b"\0"))
    put("image/bad_short.png", png(5, 4, 8, 0, grey[:-3]))
    put("image/bad_crc.png", png(5, 4, 8, 0, grey)[:-14] + b"\0\0" + png(5, 4, 8, 0, grey)[-12:])
    put("image/bad_zlib.png", png(5, 4, 8, 0, grey, body=b"\x78\x9c" + b"\xff" * 20))
    put("image/bad_palette_missing.png", png(3, 1, 2, 3, b"\0\x18"))
    put("image/bad_empty", b"")
    put("image/bad_text", "no image\n")
    put("image/bad_magic_only.png", b"\x89PNG\r\n\x1a\n")
    put("image/bad_magic_only.jpg", b"\xff\xd8\xff")
    for name in ("grey", "rgb", "progressive"):
        jpeg = (HERE / f"image/good_{name}.jpg").read_bytes()
        put(f"image/bad_{name}_cut.jpg", jpeg[: len(jpeg) * 3 // 4])
        put(f"image/{'bad' if name == 'progressive' else 'good'}_{name}_no_end.jpg", jpeg[:-2])
    jpeg = (HERE / "image/good_rgb.jpg").read_bytes()
    start = jpeg.index(b"\xff\xc0") + 5
    put("image/bad_large.jpg", jpeg[:start] + b"\xff\x00\xff\x00" + jpeg[start + 4 :])
    put("image/bad_zero.jpg", jpeg[:start] + b"\0\0\0\0" + jpeg[start + 4 :])
    # Of the formats that Pillow wrote (tests/data/make_images.py).
    for name in ("turned.jpg", "turned.webp", "rgba.webp", "lossy.webp", "palette.tiff", "deflate.tiff", "pages.tiff", "cmyk.tiff", "palette.bmp", "bits.bmp", "rgb.bmp"):
        whole = (HERE.parent / "data/images" / name).read_bytes()
        put(f"image/good_{name}", whole)
        if not name.endswith(".tiff"):  # the directory of the pages may lie in front
            put(f"image/bad_cut_{name}", whole[: len(whole) * 3 // 4])
    whole = bytearray((HERE.parent / "data/images/rgb.bmp").read_bytes())
    put("image/bad_top.bmp", whole[:22] + struct.pack("<i", -(2**31)) + whole[26:])
    put("image/good_top.bmp", whole[:22] + struct.pack("<i", -9) + whole[26:])
    put("image/bad_rle.bmp", whole[:30] + b"\1" + whole[31:])
    put("image/bad_core.bmp", whole[:14] + b"\x0c" + whole[15:])


def checkpoints():
    good = json.loads((HERE / "checkpoint/good_static.json").read_text())

    def without(key):
        return {k: v for k, v in good.items() if k != key}

    def changed(key, value):
        return {**good, key: value}

    bad = {f"no_{key}": without(key) for key in ("format_version", "form", "model_spec", "quantization", "sha256")}
    bad["newer"] = changed("format_version", 1000)
    bad["version_text"] = changed("format_version", "1")
    bad["version_fraction"] = changed("format_version", 1.5)
    bad["form"] = changed("form", "int")
    bad["float_with_plan"] = changed("form", "float")
    bad["plan_null"] = changed("quantization", None)
    bad["plan_empty"] = changed("quantization", {})
    bad["spec_list"] = changed("model_spec", [])
    bad["spec_width_zero"] = changed("model_spec", {**good["model_spec"], "widths": [0] * len(good["model_spec"]["widths"])})
    bad["spec_width_huge"] = changed("model_spec", {**good["model_spec"], "widths": [2**31] * len(good["model_spec"]["widths"])})
    bad["spec_unknown_key"] = changed("model_spec", {**good["model_spec"], "depth": 3})
    bad["spec_family"] = changed("model_spec", {**good["model_spec"], "family": "rnn"})
    bad["sha256"] = changed("sha256", "ABC")
    bad["hyperparameters"] = changed("hyperparameters", 7)
    bad["parent"] = changed("parent_sha256", "x")
    for name, value in bad.items():
        put(f"checkpoint/bad_{name}.json", json.dumps(value, indent=1) + "\n")
    text = json.dumps(good)
    put("checkpoint/bad_empty.json", "")
    put("checkpoint/bad_cut.json", text[: len(text) // 2])
    put("checkpoint/bad_trailing.json", text + "{}")
    put("checkpoint/bad_duplicate.json", text.replace("{", '{"form": "float", ', 1))
    put("checkpoint/bad_list.json", "[" + text + "]")
    put("checkpoint/bad_deep.json", '{"a":' * 2000 + "1" + "}" * 2000)
    put("checkpoint/bad_nul.json", text.replace('"form"', '"fo\0rm"', 1))


def vocabulary_files():
    special = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n"
    words = "the\nun\n##aff\n##able\na\n##a\n!\n,\n"
    put("vocabulary/good_words.txt", special + words)
    put("vocabulary/good_no_mask.txt", words + "[SEP]\n[CLS]\n[UNK]\n[PAD]\n")
    put("vocabulary/good_crlf.txt", (special + words).replace("\n", "\r\n"))
    put("vocabulary/good_no_last_end.txt", special + "a\nb")
    put("vocabulary/good_scripts.txt", special + "\u00e9\ne\u0301\n\u6f22\n##\u09be\n\u0995\n##\u09cd\u09b7\n\U0001f600\n\u1b44\u302e\n")
    put("vocabulary/good_blanks.txt", special + "a b\n c\n\u00a0\n##\n#\n")
    put("vocabulary/bad_empty.txt", "")
    put("vocabulary/bad_empty_first_line.txt", "\n" + special)
    put("vocabulary/bad_empty_line.txt", special + "a\n\nb\n")
    put("vocabulary/bad_empty_last_line.txt", special + "a\n\n")
    put("vocabulary/bad_duplicate.txt", special + "a\nb\na\n")
    put("vocabulary/bad_bom.txt", "\ufeff" + special)
    put("vocabulary/bad_nul.txt", special + "a\0b\n")
    put("vocabulary/bad_cr.txt", special.replace("\n", "\r"))
    put("vocabulary/bad_latin1.txt", special.encode() + b"caf\xe9\n")
    put("vocabulary/bad_utf8_cut.txt", special.encode() + b"\xe2\x82")
    put("vocabulary/bad_surrogate.txt", special.encode() + b"\xed\xa0\x80\n")
    for name in ("pad", "unk", "cls", "sep"):
        put(f"vocabulary/bad_no_{name}.txt", special.replace(f"[{name.upper()}]\n", "") + words)


safetensors()
idx_files()
archives()
csv_files()
jsonl_files()
images()
checkpoints()
vocabulary_files()

#!/usr/bin/env python3
"""Makes a folder of a classifier from one of all-MiniLM-L6-v2, with Python alone: a head whose weights follow from a
formula, on the model's own pooler.

usage: minilm_folder.py MODEL_FOLDER NEW_FOLDER
"""
import json
import os
import shutil
import struct
import sys

CLASSES = ["red", "green", "blue"]


def head(hidden):
    """classifier.weight (classes, hidden) and classifier.bias, row by row."""
    weight = [((k * 37) % 101 - 50) / 25 for k in range(len(CLASSES) * hidden)]
    return weight, [0.25 * c for c in range(len(CLASSES))]


def main(source, out):
    with open(f"{source}/model.safetensors", "rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(length))
        data = f.read()
    with open(f"{source}/config.json") as f:
        config = json.load(f)
    tensors = {"bert." + name: item for name, item in header.items() if name != "__metadata__"}
    weight, bias = head(config["hidden_size"])
    for name, values, shape in (("classifier.weight", weight, [len(CLASSES), config["hidden_size"]]),
                                ("classifier.bias", bias, [len(CLASSES)])):
        more = struct.pack(f"<{len(values)}f", *values)
        tensors[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(more)]}
        data += more
    config["architectures"] = ["BertForSequenceClassification"]
    config["id2label"] = {str(i): name for i, name in enumerate(CLASSES)}
    config["label2id"] = {name: i for i, name in enumerate(CLASSES)}
    text = json.dumps(tensors).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(out)
    with open(f"{out}/model.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
    with open(f"{out}/config.json", "w") as f:
        json.dump(config, f, indent=1)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(f"{source}/{name}", out)


if __name__ == "__main__":
    main(*sys.argv[1:])

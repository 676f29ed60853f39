#!/usr/bin/env python3
"""Reads model.safetensors files with the Python `safetensors` package and checks them against checkpoint_info.json.

Usage: python3 check_safetensors.py CHECKPOINT_DIR...   (needs safetensors and numpy; torch is used if installed)

An oracle for the writer, run by hand: the build and the tests do not need Python.
"""
import hashlib
import json
import pathlib
import sys

from numpy import unpackbits
from safetensors import safe_open
from safetensors.numpy import load_file, save

TYPES = {"F32": "float32", "F16": "float16", "I8": "int8", "U8": "uint8", "I32": "int32"}


def read(model, dtypes):
    """All tensors as numpy arrays; BF16, which numpy lacks, only through torch."""
    if "BF16" not in dtypes.values():
        return load_file(model)
    from safetensors.torch import load_file as load_torch

    return {k: v.float().numpy() if "bfloat16" in str(v.dtype) else v.numpy() for k, v in load_torch(model).items()}


def check(folder):
    model = folder / "model.safetensors"
    info = json.loads((folder / "checkpoint_info.json").read_text())
    raw = model.read_bytes()
    assert hashlib.sha256(raw).hexdigest() == info["sha256"], "sha256"
    assert len(raw) == info["size_bytes"] == sum(info["bytes_by_dtype"].values()), "bytes"
    with safe_open(model, framework="numpy") as f:
        dtypes = {name: f.get_slice(name).get_dtype() for name in f.keys()}
    arrays = read(model, dtypes)
    assert set(arrays) == set(dtypes)
    for name, layer in info["sparsity"].items():
        assert arrays[name].size == layer["total"], name
        assert int((arrays[name] == 0).sum()) == layer["zero"], name
    for name, array in arrays.items():
        if dtypes[name] in TYPES:
            assert array.dtype == TYPES[dtypes[name]], name
        if name.endswith(".mask"):
            weight = arrays[name[: -len(".mask")]].ravel()
            assert array.shape == ((weight.size + 7) // 8,), name
            assert not unpackbits(array)[weight.size:].any(), name
            assert not weight[unpackbits(array, count=weight.size) == 0].any(), name
    if "BF16" not in dtypes.values():
        again = save(arrays)
        same = again == raw
    else:
        same = "not compared (BF16)"
    try:
        from safetensors.torch import load_file as load_torch

        torch_count = len(load_torch(model))
    except ImportError:
        torch_count = "torch is not installed"
    print(f"{folder}: {len(arrays)} tensors {sorted(set(dtypes.values()))}; torch: {torch_count}; "
          f"same bytes as the package writes: {same}")


for argument in sys.argv[1:]:
    check(pathlib.Path(argument))

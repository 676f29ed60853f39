#!/usr/bin/env python3
"""Writes augment_golden.h: what torchvision makes of a small image, and how its random choices are distributed.

    pip install torch torchvision
    tests/input/make_augment_golden.py > tests/input/augment_golden.h
"""
import torch
import torchvision
from torchvision.transforms import RandomErasing, RandomResizedCrop, functional as F

H, W = 5, 7


def image(channels):
    values = [((i * 37 + 11) % 256) / 255 for i in range(H * W * channels)]
    return torch.tensor(values, dtype=torch.float32).reshape(H, W, channels).permute(2, 0, 1)


def put(name, x):
    values = x.permute(1, 2, 0).reshape(-1).tolist()
    text = ", ".join(f"{v:.9g}f" if "." in f"{v:.9g}" or "e" in f"{v:.9g}" else f"{v:.9g}.0f" for v in values)
    print(f"static const float {name}[] = {{{text}}};")


def spread(name, rows):
    rows = torch.tensor(rows, dtype=torch.float64)
    mean, deviation = rows.mean(0).tolist(), rows.std(0).tolist()
    print(f"static const double {name}_mean[] = {{{', '.join(f'{v:.6g}' for v in mean)}}};")
    print(f"static const double {name}_deviation[] = {{{', '.join(f'{v:.6g}' for v in deviation)}}};")


colour, grey = image(3), image(1)
print(f"/* Made by make_augment_golden.py with torchvision {torchvision.__version__}. */")
print("/* clang-format off */")
print(f"enum {{ GOLDEN_H = {H}, GOLDEN_W = {W} }};")
put("golden_bright", F.adjust_brightness(colour, 1.4))
put("golden_contrast", F.adjust_contrast(colour, 0.6))
put("golden_contrast_grey", F.adjust_contrast(grey, 1.7))
put("golden_saturated", F.adjust_saturation(colour, 1.7))
put("golden_pale", F.adjust_saturation(colour, 0.25))
put("golden_hue_up", F.adjust_hue(colour, 0.23))
put("golden_hue_down", F.adjust_hue(colour, -0.4))
put("golden_crop", F.resized_crop(colour, 1, 2, 3, 4, [H, W], antialias=True))
torch.manual_seed(1)
square, wide = torch.zeros(3, 64, 64), torch.zeros(3, 16, 64)
crops = [RandomResizedCrop.get_params(square, [0.08, 1], [3 / 4, 4 / 3]) for _ in range(100000)]
print("/* top, left, height, width */")
spread("golden_crop", crops)
crops = [RandomResizedCrop.get_params(wide, [0.5, 1], [3 / 4, 4 / 3]) for _ in range(20000)]
spread("golden_crop_wide", crops)
rows = []
for _ in range(100000):
    top, left, height, width, _ = RandomErasing.get_params(square, (0.02, 0.33), (0.3, 3.3), [0])
    if height < 64:  # else no try has fitted, and nothing is erased
        rows.append([top, left, height, width])
spread("golden_erase", rows)
print("/* clang-format on */")

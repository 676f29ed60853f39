#!/usr/bin/env python3
"""Training steps of PyTorch on the first GPU, in the shapes of bench/gpu/train.c, as a Markdown table.

Says so and stops where PyTorch or its GPU support is missing: nothing else needs Python.
"""
import sys
import time

try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError:
    print("PyTorch is not installed: not compared.")
    sys.exit(0)
if not torch.cuda.is_available():
    print("PyTorch has no usable GPU: not compared.")
    sys.exit(0)

torch.manual_seed(0)
STEPS = 200


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(),
                         nn.Linear(128, 10))


def cnn():
    layers, c = [], 3
    for o, k in ((32, 5), (64, 5), (96, 3)):
        layers += [nn.Conv2d(c, o, k), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2)]
        c = o
    head = [nn.Flatten(), nn.Linear(96 * 25, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)]
    return nn.Sequential(*layers, *head)


class Block(nn.Module):
    def __init__(self, c, o, stride):
        super().__init__()
        self.a, self.b = nn.Conv2d(c, o, 3, stride, 1, bias=False), nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.na, self.nb = nn.BatchNorm2d(o), nn.BatchNorm2d(o)
        self.short = None
        if stride != 1 or c != o:
            self.short = nn.Sequential(nn.Conv2d(c, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        y = self.nb(self.b(F.relu(self.na(self.a(x)))))
        return F.relu(y + (self.short(x) if self.short else x))


def resnet():
    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)]
    c = 64
    for stage, o in enumerate((64, 128, 256, 512)):
        for block in range(2):
            layers.append(Block(c, o, 2 if stage and not block else 1))
            c = o
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


SHAPES = {"mlp": (mlp, (1, 28, 28)), "cnn": (cnn, (3, 64, 64)), "resnet": (resnet, (3, 64, 64))}
JOBS = [("mlp", 128, "fp32"), ("mlp", 4096, "fp32"), ("mlp", 4096, "bf16"), ("cnn", 64, "fp32"), ("cnn", 64, "tf32"),
        ("cnn", 64, "bf16"), ("cnn", 512, "fp32"), ("cnn", 512, "tf32"), ("cnn", 512, "bf16"), ("resnet", 64, "fp32"),
        ("resnet", 64, "tf32"), ("resnet", 64, "bf16"), ("resnet", 256, "bf16")]


def time_job(name, batch, precision):
    make, shape = SHAPES[name]
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    net = make().cuda().train()
    x, y = torch.randn(batch, *shape, device="cuda"), torch.arange(batch, device="cuda") % 10
    if len(shape) == 3 and shape[0] == 3:
        net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    opt = torch.optim.AdamW(net.parameters(), 1e-4, fused=True)

    def step():
        opt.zero_grad()
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = F.cross_entropy(net(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()

    for _ in range(10):
        step()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start) / STEPS


print(f"PyTorch {torch.__version__}, eager, channels_last for images, fused AdamW, data already on the GPU.\n")
print("| model | batch | precision | ms per step | samples/s |\n| --- | --- | --- | --- | --- |")
for name, batch, precision in JOBS:
    ms = time_job(name, batch, precision)
    print(f"| {name} | {batch} | {precision} | {ms:.3f} | {1e3 * batch / ms:.0f} |", flush=True)

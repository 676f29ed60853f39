"""Golden values of whole models from PyTorch, for tests/golden/test_*.c.

Writes NAME.safetensors beside this script for a few small models: inputs, weights, logits, losses, gradients and the
weights after one AdamW step, all computed in float64 and stored in float32. Layouts are converted to the engine's:
images NHWC, convolution weights OHWI, and the first linear layer after a convolution takes its input in NHWC order.

    python3 make_golden.py            (needs torch, numpy, safetensors; never run by the build or the tests)

Keys: "input", "labels" (I32), "teacher"; "param/NAME", "stat/NAME" (running statistics before); "logits"; per loss L in
ce, smooth, kd: "L/loss", "L/grad/NAME"; "ce/step/NAME" the weights after one AdamW step; "ce/observed/NAME" the running
statistics after one training forward; "eval/logits" the inference logits with the statistics before.
"""
import os

import numpy
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional as F

BATCH, CLASSES = 6, 5
SMOOTHING, TEMPERATURE, ALPHA = 0.1, 4.0, 0.7
# A bias in front of a batch norm has no gradient but rounding noise, which AdamW would blow up with a tiny eps.
STEP = dict(lr=0.01, betas=(0.9, 0.999), eps=1e-3, weight_decay=0.05)


class Mlp(nn.Module):
    shape = (7, 6, 3)

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(126, 33), nn.Linear(33, 17)
        self.fc3 = nn.Linear(17, CLASSES)

    def forward(self, x):
        x = x.permute(0, 2, 3, 1).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class Cnn(nn.Module):
    """conv 5x5 valid - bn - relu - pool with a remainder, conv 3x3 padded - bn - relu - pool, two linear layers."""
    shape = (15, 13, 3)

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 7, 5), nn.BatchNorm2d(7)
        self.conv2, self.bn2 = nn.Conv2d(7, 9, 3, padding=1), nn.BatchNorm2d(9)
        self.fc1, self.fc2 = nn.Linear(2 * 2 * 9, 11), nn.Linear(11, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = x.permute(0, 2, 3, 1).flatten(1)
        return self.fc2(F.relu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, before, inner, after, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        self.downsample = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (self.downsample(x) if self.downsample else x))


class ResNet(nn.Module):
    shape = (11, 9, 3)

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, 1, 1, bias=False), nn.BatchNorm2d(6)
        self.block0, self.block1 = Block(6, 5, 6, 1), Block(6, 7, 10, 2)
        self.fc = nn.Linear(10, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        return self.fc(self.block1(self.block0(x)).mean((2, 3)))


def loss_of(kind, logits, labels, teacher):
    if kind == "ce":
        return F.cross_entropy(logits, labels)
    if kind == "smooth":
        return F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)
    soft = F.kl_div(F.log_softmax(logits / TEMPERATURE, 1), F.softmax(teacher / TEMPERATURE, 1),
                    reduction="batchmean")
    return ALPHA * TEMPERATURE ** 2 * soft + (1 - ALPHA) * F.cross_entropy(logits, labels)


def ours(t):
    """The engine's layout of a weight or gradient."""
    t = t.detach().clone()
    return (t.permute(0, 2, 3, 1) if t.ndim == 4 else t).contiguous().numpy().astype(numpy.float32)


def make(name, model, names):
    torch.manual_seed(20)
    net = model().double()
    with torch.no_grad():
        for key, p in list(net.named_parameters()) + list(net.named_buffers()):
            if key.endswith("num_batches_tracked"):
                continue
            if p.ndim == 1:  # nothing stays at 0 or 1
                p.copy_(torch.rand_like(p) + (0.5 if "var" in key or "weight" in key else -0.5))
            p.copy_(p.float().double())  # exactly what the file stores
    h, w, c = model.shape
    x = torch.randn(BATCH, c, h, w).float().double()
    teacher = (3 * torch.randn(BATCH, CLASSES)).float().double()
    labels = torch.arange(BATCH) * 3 % CLASSES
    out = {"input": x.permute(0, 2, 3, 1).contiguous().numpy().astype(numpy.float32), "teacher": ours(teacher),
           "labels": labels.numpy().astype(numpy.int32)}
    start = {k: v.clone() for k, v in net.state_dict().items()}
    tracked = [k for k in start if "running" in k]
    out |= {f"param/{names(k)}": ours(p) for k, p in net.named_parameters()}
    out |= {f"stat/{names(k)}": ours(start[k]) for k in tracked}
    net.eval()
    out["eval/logits"] = ours(net(x))
    for kind in ("ce", "smooth", "kd"):
        net.load_state_dict(start)
        net.train()
        net.zero_grad()
        optimizer = torch.optim.AdamW(
            [{"params": [p for p in net.parameters() if p.ndim > 1]},
             {"params": [p for p in net.parameters() if p.ndim == 1], "weight_decay": 0.0}], **STEP)
        logits = net(x)
        loss = loss_of(kind, logits, labels, teacher)
        loss.backward()
        out["logits"] = ours(logits)
        out[f"{kind}/loss"] = ours(loss.reshape(1))
        out |= {f"{kind}/grad/{names(k)}": ours(p.grad) for k, p in net.named_parameters()}
        if kind != "ce":
            continue
        optimizer.step()
        out |= {f"ce/step/{names(k)}": ours(p) for k, p in net.named_parameters()}
        out |= {f"ce/observed/{names(k)}": ours(net.state_dict()[k]) for k in tracked}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".safetensors")
    save_file({k: numpy.ascontiguousarray(v) for k, v in out.items()}, path)
    print(path, os.path.getsize(path), "bytes")


def resnet_names(key):
    for a, b in (("block0.", "stage1.block0."), ("block1.", "stage2.block0.")):
        if key.startswith(a):
            key = b + key[len(a):]
    return key.replace("downsample.0", "downsample.conv").replace("downsample.1", "downsample.bn")


if __name__ == "__main__":
    make("mlp", Mlp, str)
    make("cnn", Cnn, str)
    make("resnet", ResNet, resnet_names)

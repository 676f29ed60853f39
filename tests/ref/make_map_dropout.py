"""Attention with a dropped map by PyTorch, printed as tables for test_map_dropout.c. The mask is that of op.h (enum
attention_in) by the words of Philox 4x32-10, written down here again; softmax, products and gradients are PyTorch's."""
import torch

SEED, STAGE, NAME = 7, b"suite", b"y"
STEP, FIRST = (3 << 32) + 1, (5 << 32) - 1
DROPOUT = 5  # enum rng_purpose
T, H, D, RATE = [3, 5], 2, 2, 0.4
M32 = (1 << 32) - 1


def philox(key, c):
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & M32, (p0 >> 32) ^ c[3] ^ k1, p0 & M32]
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    return c


def absorb(key, state, text):
    state = philox(key, [state[0] ^ DROPOUT, state[1] ^ len(text), state[2], state[3]])
    for at in range(0, len(text), 16):
        block = text[at : at + 16]
        for i, byte in enumerate(block):
            state[i // 4] ^= byte << (8 * (i % 4))
        state = philox(key, state)
    return state


def stays(n, t, h, i, j):
    seed = (SEED & M32, SEED >> 32)
    key = absorb(seed, absorb(seed, [0, 0, 0, 0], STAGE), NAME)[:2]
    block = (h * t + i) * 8 * ((t + 31) // 32) + j // 32 * 8 + j % 8
    sample = (FIRST + n) & ((1 << 64) - 1)
    word = philox(key, [block, sample & M32, (sample >> 32) ^ (STEP >> 32), STEP & M32])[j // 8 % 4]
    return (word >> 8) * 2.0**-24 >= torch.tensor(RATE, dtype=torch.float32).item()


rows = sum(T)
values = torch.arange(rows * H * D, dtype=torch.float64).reshape(rows, H * D)
q = (torch.sin(values) * 1.5).requires_grad_()
k = (torch.cos(values * 1.3) * 1.5).requires_grad_()
v = torch.sin(values * 0.7 + 1).requires_grad_()
dy = torch.cos(values * 0.9)
out, first = [], 0
for n, t in enumerate(T):
    heads = []
    for h in range(H):
        at = (slice(first, first + t), slice(h * D, (h + 1) * D))
        mask = torch.tensor([[stays(n, t, h, i, j) for j in range(t)] for i in range(t)], dtype=torch.float64)
        p = torch.softmax(q[at] @ k[at].T / D**0.5, dim=-1) * mask / (1 - RATE)
        heads.append(p @ v[at])
    out.append(torch.cat(heads, 1))
    first += t
y = torch.cat(out)
(y * dy).sum().backward()
for name, x in ("y", y), ("dq", q.grad), ("dk", k.grad), ("dv", v.grad):
    print("/* %s */ {%s}," % (name, ", ".join("%.9g" % e for e in x.detach().flatten().tolist())))

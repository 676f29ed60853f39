#!/usr/bin/env python3
"""Fine-tunes an encoder by PyTorch and transformers, by the recipe of a `train` stage: what the encoder itself can reach.

usage: peers_finetune.py FOLDER TRAIN.tsv DEV.tsv [--lr R] [--epochs N] [--batch N] [--seed N] [--threads N]

FOLDER holds config.json, model.safetensors and vocab.txt of a BERT; the .tsv files have a header and end their lines in a
label of 0 or 1, as SST-2 has them. Mean pooling over a text's tokens, dropout of 0.1 on it alone, AdamW with decay 0.01 on matrices, warm-up of 6 %
and then linear, gradients clipped at 1, FP32. Batches are of texts that are about equally long, which saves time and changes no
text's gradient. Prints accuracy on DEV after each epoch. Needs torch, transformers and tokenizers from PyPI.
"""
import argparse
import random

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertModel

LONGEST = 128
WINDOW = 64  # batches within which texts are sorted by length


def read(path, tokens):
    with open(path, encoding="utf-8") as f:
        rows = [line.rstrip("\n").rsplit("\t", 1) for line in list(f)[1:] if line.strip()]
    return [(tokens.encode(text).ids[:LONGEST], int(label)) for text, label in rows]


def pad(ids):
    width = max(map(len, ids))
    return {
        "input_ids": torch.tensor([i + [0] * (width - len(i)) for i in ids]),
        "attention_mask": torch.tensor([[1] * len(i) + [0] * (width - len(i)) for i in ids]),
    }


class Classifier(torch.nn.Module):
    def __init__(self, folder):
        super().__init__()
        self.encoder = BertModel.from_pretrained(folder).float()
        self.dropout = torch.nn.Dropout(0.1)
        self.head = torch.nn.Linear(self.encoder.config.hidden_size, 2)
        torch.nn.init.normal_(self.head.weight, std=0.02)
        torch.nn.init.zeros_(self.head.bias)

    def forward(self, batch):
        hidden = self.encoder(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None].float()
        return self.head(self.dropout((hidden * mask).sum(1) / mask.sum(1)))


def accuracy(model, rows):
    model.eval()
    right = 0
    with torch.no_grad():
        for i in range(0, len(rows), 64):
            part = rows[i : i + 64]
            right += (model(pad([ids for ids, _ in part])).argmax(1) == torch.tensor([y for _, y in part])).sum().item()
    model.train()
    model.encoder.eval()
    return right / len(rows)


def batches(rows, size):
    order = random.sample(range(len(rows)), len(rows))
    out = []
    for at in range(0, len(order), size * WINDOW):
        window = sorted(order[at : at + size * WINDOW], key=lambda k: len(rows[k][0]))
        out += [window[i : i + size] for i in range(0, len(window), size)]
    random.shuffle(out)
    return out


def optimizer_of(model, rate, steps):
    plain = [p for n, p in model.named_parameters() if "bias" in n or "LayerNorm" in n]
    decayed = [p for n, p in model.named_parameters() if not ("bias" in n or "LayerNorm" in n)]
    groups = [{"params": plain, "weight_decay": 0}, {"params": decayed, "weight_decay": 0.01}]
    opt = torch.optim.AdamW(groups, lr=rate, fused=True)
    warm = 0.06 * steps
    return opt, torch.optim.lr_scheduler.LambdaLR(opt, lambda t: max(0, min((t + 1) / warm, (steps - t) / (steps - warm))))


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("folder")
    p.add_argument("train")
    p.add_argument("dev")
    p.add_argument("--lr", type=float, default=5e-5)
    p.add_argument("--epochs", type=int, default=1)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--seed", type=int, default=42)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.manual_seed(a.seed)
    random.seed(a.seed)
    torch.set_num_threads(a.threads)
    tokens = BertWordPieceTokenizer(f"{a.folder}/vocab.txt")
    train, dev = read(a.train, tokens), read(a.dev, tokens)
    model = Classifier(a.folder)
    model.train()
    model.encoder.eval()
    opt, schedule = optimizer_of(model, a.lr, a.epochs * -(-len(train) // a.batch))
    for epoch in range(a.epochs):
        for batch in batches(train, a.batch):
            logits = model(pad([train[k][0] for k in batch]))
            loss = torch.nn.functional.cross_entropy(logits, torch.tensor([train[k][1] for k in batch]))
            opt.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
            schedule.step()
        print(f"epoch {epoch + 1} of {a.epochs}: accuracy {accuracy(model, dev):.4f} of {len(dev)}", flush=True)


if __name__ == "__main__":
    main()

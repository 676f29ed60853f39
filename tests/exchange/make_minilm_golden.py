#!/usr/bin/env python3
"""What `transformers` says with the classifier of minilm_folder.py: minilm.json, which tests/cli/minilm.sh compares
with. Special tokens that are written out in a text are left to tests/text: the program takes them for words.

usage: make_minilm_golden.py CLASSIFIER_FOLDER > minilm.json        (needs torch, transformers)
"""
import json
import sys

import torch
import transformers

TEXTS = [
    "a fine film",
    "Operating profit rose to EUR 13.1 mn from EUR 8.7 mn in the corresponding period in 2007.",
    "The company's net sales fell by 12% (y/y), to $1,234.56 -- its worst quarter since '98!!!",
    "it 's a charming and often affecting journey .",
    "unflinchingly bleak and desperate",
    "Naïve café owners, déjà vu: Ångström & Œuvre — “quoted” … and ﬁnally a ligature",
    "東京は日本の首都です。",
    "আমি বাংলায় গান গাই",
    "emoji 😀 and tabs\tand control \u0007 characters\u200b here",
    "antidisestablishmentarianism " + "x" * 120 + " pneumonoultramicroscopicsilicovolcanoconiosis",
    " ".join("the quick brown fox number %d jumps over the lazy dog," % i for i in range(12)),
]


def main(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    out = []
    for text in TEXTS:
        ids = tokenizer(text, truncation=True, max_length=512)["input_ids"]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0]
        out.append({"text": text, "tokens": len(ids), "logits": [round(float(v), 6) for v in logits]})
    json.dump(out, sys.stdout, ensure_ascii=False, indent=0)
    print()


if __name__ == "__main__":
    main(sys.argv[1])

#!/usr/bin/env python3
"""Opens folders that `pipeline export --hf` wrote with `transformers` and compares what they say of the texts of the
folders that they were imported from. Run by hand, since it needs torch and transformers:

  for m in bert bert_multi_label distilbert sentence; do
    pipeline import tests/exchange/folders/$m --out /tmp/hf/$m && pipeline export /tmp/hf/$m --hf /tmp/hf/$m-again
  done
  tests/exchange/check_export.py tests/exchange/folders /tmp/hf
"""
import json
import os
import sys

import torch
import transformers


def main():
    folders, exported = sys.argv[1:]
    worst = 0
    for name in sorted(os.listdir(folders)):
        with open(f"{folders}/{name}/expected.json") as f:
            expected = json.load(f)
        again = f"{exported}/{name}-again"
        kind = transformers.AutoModel if name == "sentence" else transformers.AutoModelForSequenceClassification
        model, info = kind.from_pretrained(again, output_loading_info=True)
        missing = [k for k in info["missing_keys"] if not k.startswith("pooler")]
        assert not missing and not info["unexpected_keys"], info
        model.eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(again)
        for text, output in zip(expected["texts"], expected["outputs"]):
            with torch.no_grad():
                result = model(**tokenizer(text, return_tensors="pt"))
            have = result.last_hidden_state[0].mean(0) if name == "sentence" else result.logits[0]
            worst = max(worst, max(abs(float(a) - b) for a, b in zip(have, output)))
        print(f"{name}: {type(model).__name__} of {len(expected['texts'])} texts, largest difference so far {worst:.2e}")
    assert worst < 1e-4


if __name__ == "__main__":
    main()

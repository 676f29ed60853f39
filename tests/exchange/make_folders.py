#!/usr/bin/env python3
"""Makes the folders of test_hf.c: tiny models of `transformers` with random weights, and what they say of some texts.

usage: make_folders.py DIR        (needs torch, transformers; the files in tests/exchange/folders are its output)
"""
import json
import os
import sys

import torch
import transformers

WORDS = ["the", "film", "is", "a", "good", "bad", "very", "long", "short", "story", "of", "love", "and", "war", "##s",
         "##ing", "##ed", "act", "play", "un", "##real", ".", ",", "!", "?"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + WORDS
TEXTS = ["The film is good.", "a very, very long and BAD story!", "playing", "", "unreal acts of love and war ?",
         "something unknown is good"]
PAIRS = [("The film is good.", "a very long story"), ("war", "playing acts of love !"), ("love", "love"),
         ("a very, very long and BAD story!", "The film is very, very long and BAD, is a story of war"),
         ("the film is long the film is long the film is long", "good"), ("is unreal ?", "something unknown is good")]


def randomise(model):
    """Weights large enough for every part to matter, biases and norms included."""
    g = torch.Generator().manual_seed(7)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=g)
        if "LayerNorm.weight" in name or "layer_norm.weight" in name:
            p.data = 1 + 0.3 * noise
        elif p.dim() == 1:
            p.data = 0.3 * noise
        else:
            p.data = 0.4 * noise


def save(model, folder, pooling=None):
    """pooling: what a sentence encoder's folder says of its pooling."""
    randomise(model)
    model.eval()
    os.makedirs(folder)
    with open(f"{folder}/vocab.txt", "w") as f:
        f.write("\n".join(VOCABULARY) + "\n")
    tokenizer = transformers.BertTokenizer(f"{folder}/vocab.txt")
    if pooling:  # the other form of a tokenizer
        tokenizer.backend_tokenizer.save(f"{folder}/tokenizer.json")
        os.remove(f"{folder}/vocab.txt")
    model.save_pretrained(folder, safe_serialization=True)
    with open(f"{folder}/tokenizer_config.json", "w") as f:
        json.dump({"do_lower_case": True, "tokenizer_class": "BertTokenizer", "model_max_length": 16}, f, indent=1)
    if pooling:
        os.makedirs(f"{folder}/1_Pooling")
        with open(f"{folder}/1_Pooling/config.json", "w") as f:
            json.dump({"pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean"}, f)
    out = {"texts": [], "outputs": [], "hidden": []}
    for text in TEXTS:
        ids = [VOCABULARY.index("[CLS]")] + tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))
        ids.append(VOCABULARY.index("[SEP]"))
        with torch.no_grad():
            result = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
        rows = result.hidden_states[-1][0]
        if pooling:
            output = rows.mean(0) if pooling == "mean" else rows[0]
        else:
            output = result.logits[0]
        out["texts"].append(text)
        out["outputs"].append([round(float(v), 7) for v in output])
        out["hidden"].append([round(float(v), 6) for v in rows.flatten()])
    with open(f"{folder}/expected.json", "w") as f:
        json.dump(out, f)
    if not pooling:
        save_pairs(model, tokenizer, folder)


def save_pairs(model, tokenizer, folder):
    """Pairs of texts, with token types where the model has them, the longer ones cut by longest_first."""
    out = {"texts": [], "pairs": [], "outputs": [], "hidden": []}
    typed = hasattr(model.config, "type_vocab_size")
    for text, pair in PAIRS:
        coded = tokenizer(text, pair, truncation="longest_first", max_length=16, return_tensors="pt")
        types = {"token_type_ids": coded["token_type_ids"]} if typed else {}
        with torch.no_grad():
            result = model(input_ids=coded["input_ids"], output_hidden_states=True, **types)
        out["texts"].append(text)
        out["pairs"].append(pair)
        out["outputs"].append([round(float(v), 7) for v in result.logits[0]])
        out["hidden"].append([round(float(v), 6) for v in result.hidden_states[-1][0].flatten()])
    with open(f"{folder}/expected_pairs.json", "w") as f:
        json.dump(out, f)


def main():
    root = sys.argv[1]
    common = dict(vocab_size=len(VOCABULARY), max_position_embeddings=16)
    bert = dict(common, hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20)
    labels = {0: "negative", 1: "neutral", 2: "positive"}
    names = dict(id2label=labels, label2id={v: k for k, v in labels.items()})
    save(transformers.BertForSequenceClassification(transformers.BertConfig(**bert, **names)), f"{root}/bert")
    save(transformers.BertForSequenceClassification(transformers.BertConfig(
        **bert, hidden_act="gelu_new", problem_type="multi_label_classification", num_labels=2)),
        f"{root}/bert_multi_label")
    save(transformers.DistilBertForSequenceClassification(transformers.DistilBertConfig(
        **common, dim=12, n_layers=2, n_heads=2, hidden_dim=20, **names)), f"{root}/distilbert")
    save(transformers.BertModel(transformers.BertConfig(**dict(bert, vocab_size=32))), f"{root}/sentence", "mean")


if __name__ == "__main__":
    main()

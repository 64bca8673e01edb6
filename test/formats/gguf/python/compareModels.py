"""Holds folders made from the GGUFs of makeModels.py against the original models, and against
transformers' own GGUF reader where it knows the architecture. Prints JSON, an entry a model:

difference    largest difference of logits to the original, as a part of the largest logit
theirs        the same to transformers' reading of the GGUF, or why there is none
tensors       names of tensors that are missing, too many, or (matrices) not bit for bit equal
tokens        texts whose token ids differ from the original tokenizer's
theirTokens   texts whose token ids differ from those of transformers' reading of the GGUF
decoded       texts that come back from their tokens otherwise than from the original tokenizer
own           dtype, loading and difference of the folder in the file's own 16-bit type

usage: compareModels.py FOLDER, with FOLDER/NAME/F32 and FOLDER/NAME/own made from each GGUF
"""

import json
import os
import sys

import torch
from theirModel import their_model
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

TEXTS = [
    "The old lighthouse keeper counted 1234567 ships, didn't he?",
    "tabs\tand\nnewlines\n\n\nand   runs    of spaces",
    "naïve café Größe привет 日本語の文字 😀 👩‍👩‍👧 \U0001f680 \u0301",
    "def f(x): return x**2 + 3.14 # a/b a\\b <html> {\"key\": null}",
    "<|begin|>She said<think>hmm</think> I'LL GO<|end|>",
    "<bos>one<eos>two<s>three</s>four",
    "x",
    "",
]


def logits(model, vocab, length):
    torch.manual_seed(length)
    with torch.no_grad():
        return model(torch.randint(0, vocab, (2, length))).logits


def difference(a, b, vocab):
    """Beyond the sliding windows and the original context of the longest rotary scaling."""
    worst = 0.0
    for length in (40, 100):
        expected = logits(b, vocab, length)
        found = logits(a, vocab, length)
        worst = max(worst, ((found - expected).abs().max() / expected.abs().max()).item())
    return worst


def differing(ours, original):
    a, b = ours.state_dict(), original.state_dict()
    names = set(a) ^ set(b)
    for name in set(a) & set(b):
        if a[name].shape != b[name].shape:
            names.add(name)
        elif name.endswith("norm.weight"):
            # 1 + weight is rounded in the file
            if (a[name] - b[name]).abs().max() > 1e-6:
                names.add(name)
        elif not torch.equal(a[name], b[name]):
            names.add(name)
    return sorted(names)


def compare_weights(folder, made, original):
    ours, loading = AutoModelForCausalLM.from_pretrained(
        os.path.join(folder, made), output_loading_info=True
    )
    ours = ours.eval()
    vocab = original.config.vocab_size
    return ours, {
        "dtype": str(ours.dtype),
        "loading": {key: len(value) for key, value in loading.items() if value},
        "difference": difference(ours.float(), original, vocab),
    }


def compare(folder):
    original = AutoModelForCausalLM.from_pretrained(os.path.join(folder, "original")).eval()
    path = os.path.join(folder, "F32")
    ours, result = compare_weights(folder, "F32", original)
    result["tensors"] = differing(ours, original)
    result["own"] = compare_weights(folder, "own", original)[1]
    try:
        result["theirs"] = difference(
            ours, their_model(os.path.join(folder, "model.gguf")), original.config.vocab_size
        )
    except Exception as error:  # whatever stops transformers is a reason
        result["theirs"] = str(error)
    reference = Tokenizer.from_file(os.path.join(folder, "original", "tokenizer.json"))
    mine = AutoTokenizer.from_pretrained(path)
    result["tokens"] = [
        text for text in TEXTS if mine(text)["input_ids"] != reference.encode(text).ids
    ]
    try:
        theirs = AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
        result["theirTokens"] = [
            text for text in TEXTS if mine(text)["input_ids"] != theirs(text)["input_ids"]
        ]
    except ValueError as error:
        result["theirTokens"] = str(error)
    result["decoded"] = [
        text
        for text in TEXTS
        if mine.decode(mine(text, add_special_tokens=False)["input_ids"])
        != reference.decode(reference.encode(text, add_special_tokens=False).ids, False)
    ]
    result["chat"] = mine.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False
    )
    return result


# small matrices: threads only wait for each other
torch.set_num_threads(1)
folder = sys.argv[1]
names = sorted(os.listdir(folder))
json.dump({name: compare(os.path.join(folder, name)) for name in names}, sys.stdout)

"""Holds folders made from a real GGUF against transformers' own reading of it. Prints JSON, an
entry a folder:

difference    largest difference of logits
relative      the same as a part of the largest logit
agree         how many positions have the same most likely next token, of `tokens`
keys          parameters that only one of the two has
texts         texts whose token ids differ
decoded       texts that do not come back from their tokens
special       special tokens that differ
chat          whether the chat template gives the same text

usage: compareReal.py FILE.gguf FOLDER…
"""

import json
import os
import sys

import torch
from theirModel import their_model
from transformers import AutoModelForCausalLM, AutoTokenizer

PROSE = (
    "The quick brown fox jumps over the lazy dog. In 1969, people walked on the Moon; what they "
    "brought back were 21.5 kg of rocks, a few photographs and a great many questions. "
)
TEXTS = [
    PROSE,
    "  two spaces, a\ttab,\nnew\n\n\nlines \r\n and trailing  ",
    "def f(x):\n    return x**2 + 3.14159  # naïve café, Straße",
    "数字 12345 と 日本語, Привет мир, مرحبا, 😀👩‍👩‍👧 \U0001f680",
    "<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n",
    "don't we'll I'M YOU'RE ... --- !!! @#$%^&*()",
    "",
]
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")


def logits(model, ids):
    with torch.no_grad():
        return model(ids).logits.float()


path = sys.argv[1]
theirs = their_model(path)
tokenizer = AutoTokenizer.from_pretrained(os.path.dirname(path), gguf_file=os.path.basename(path))
ids = torch.tensor([tokenizer(PROSE * 4)["input_ids"]])
expected = logits(theirs, ids)
result = {}
for folder in sys.argv[2:]:
    ours = AutoModelForCausalLM.from_pretrained(folder).eval()
    dtype = str(ours.dtype)
    found = logits(ours.float(), ids)
    mine = AutoTokenizer.from_pretrained(folder)
    difference = (found - expected).abs().max().item()
    result[os.path.basename(folder)] = {
        "dtype": dtype,
        "tokens": ids.shape[1],
        "difference": difference,
        "relative": difference / expected.abs().max().item(),
        "agree": (found.argmax(-1) == expected.argmax(-1)).sum().item(),
        "keys": sorted(set(theirs.state_dict()) ^ set(ours.state_dict())),
        "texts": [t for t in TEXTS if mine(t)["input_ids"] != tokenizer(t)["input_ids"]],
        "decoded": [t for t in TEXTS if mine.decode(mine(t)["input_ids"]) != t],
        "special": [key for key in SPECIAL if getattr(mine, key) != getattr(tokenizer, key)],
        "chat": mine.apply_chat_template(CHAT, tokenize=False)
        == tokenizer.apply_chat_template(CHAT, tokenize=False),
    }
json.dump(result, sys.stdout)

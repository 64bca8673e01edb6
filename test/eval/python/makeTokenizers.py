"""Small BPE tokenizers of the shapes that models have, trained on a text.

    makeTokenizers.py OUT TEXT     writes OUT/<shape>.json
"""

import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
BYTES = pre_tokenizers.ByteLevel.alphabet()


def split(expression):
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(expression), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def byte_level(**settings):
    return pre_tokenizers.ByteLevel(**settings)


def shapes():
    """Name → (model settings, normalizer, pre-tokenizer, special tokens, template)."""
    spaces = normalizers.Replace(" ", "▁")
    fallback = {"byte_fallback": True, "unk_token": "<unk>", "fuse_unk": True}
    return {
        "gpt2": ({}, None, byte_level(add_prefix_space=False), ["<|endoftext|>"], None),
        "roberta": ({}, None, byte_level(add_prefix_space=True), ["<s>", "</s>"], "</s> $A"),
        "smollm": (
            {},
            None,
            pre_tokenizers.Sequence(
                [pre_tokenizers.Digits(individual_digits=True), byte_level(add_prefix_space=False)]
            ),
            ["<|endoftext|>"],
            None,
        ),
        "digitRuns": (
            {},
            None,
            pre_tokenizers.Sequence(
                [pre_tokenizers.Digits(individual_digits=False), byte_level(add_prefix_space=False)]
            ),
            ["<|endoftext|>"],
            None,
        ),
        "llama3": ({"ignore_merges": True}, None, split(LLAMA3), ["<|begin|>", "<|end|>"], "<|begin|> $A"),
        "qwen": ({}, normalizers.NFC(), split(QWEN), ["<|endoftext|>"], None),
        "llama2": (
            fallback,
            normalizers.Sequence([normalizers.Prepend("▁"), spaces]),
            None,
            ["<unk>", "<s>", "</s>"],
            "<s> $A",
        ),
        "mistral": (
            fallback,
            None,
            pre_tokenizers.Metaspace(prepend_scheme="first", split=False),
            ["<unk>", "<s>", "</s>"],
            "<s> $A </s>",
        ),
        "metaspace": (
            fallback,
            normalizers.NFKC(),
            pre_tokenizers.Metaspace(prepend_scheme="always", split=True),
            ["<unk>", "<s>", "</s>"],
            None,
        ),
        "gemma": (
            fallback,
            spaces,
            pre_tokenizers.Split(" ", "merged_with_previous"),
            ["<unk>", "<bos>"],
            "<bos> $A",
        ),
    }


def train(settings, normalizer, pre_tokenizer, special, template, text):
    tokenizer = Tokenizer(models.BPE(**settings))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    byte_like = not settings.get("byte_fallback")
    # with whole lines as words there are tokens that span words, which only splitting keeps apart
    lines = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    tokenizer.pre_tokenizer = pre_tokenizer if byte_like else lines
    bytes_of_fallback = [] if byte_like else [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=2500,
        special_tokens=[*special, *bytes_of_fallback],
        initial_alphabet=BYTES if byte_like else [],
        limit_alphabet=300,
        show_progress=False,
    )
    tokenizer.train_from_iterator(text.split("\n"), trainer)
    if not byte_like:
        tokenizer = without_added_bytes(tokenizer, special)
    tokenizer.pre_tokenizer = pre_tokenizer
    if template is not None:
        tokens = [(token, tokenizer.token_to_id(token)) for token in special if token in template]
        tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=tokens)
    elif byte_like:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel() if byte_like else decoders.ByteFallback()
    tokenizer.add_tokens([AddedToken("<odd one>", normalized=True), AddedToken("▁▁▁▁", normalized=False)])
    return tokenizer


def without_added_bytes(tokenizer, special):
    """The same with <0x..> as ordinary tokens: only then do they stand in for unknown characters."""
    import json

    file = json.loads(tokenizer.to_str())
    file["added_tokens"] = [token for token in file["added_tokens"] if token["content"] in special]
    return Tokenizer.from_str(json.dumps(file))


if __name__ == "__main__":
    folder, source = Path(sys.argv[1]), Path(sys.argv[2])
    corpus = source.read_bytes().decode()
    for name, settings in shapes().items():
        train(*settings, corpus).save(str(folder / f"{name}.json"))

"""Small tokenizers of every supported kind, trained on the text below with the tokenizers
library, and their metadata as llama.cpp's converter writes it.
"""

import json
from dataclasses import dataclass, field

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

TEXT = """
The old lighthouse keeper counted 1234 ships in 1969, and 56789 more by the year 2001.
He didn't say much; "I'll tell you," he'd whisper, "we've seen them all, they're gone!"
    four spaces,  two spaces, a\ttab and\n\n\nthree newlines
def keeper(ships): return [ship.name for ship in ships if ship.year >= 1969]  # naïve café
Größe, Übermut, Straße; ça va, où est-il? El niño comió; привет мир, как дела; 日本語の文字 数字
<html> {"key": [1, 2.5, -3e10], "other": null} @user #tag $100 50% a/b a\\b x^2 y_2
"""

LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
NORMAL, UNKNOWN, CONTROL, USER, BYTE = 1, 2, 3, 4, 6
TEMPLATE = "{% for message in messages %}{{ message['role'] + ': ' + message['content'] }}{% endfor %}"


@dataclass
class Made:
    kind: str
    pre: str | None
    backend: Tokenizer
    tokens: list[str]
    types: list[int]
    special: dict[str, int]
    flags: dict[str, bool] = field(default_factory=dict)
    scores: list[float] | None = None
    merges: list[str] | None = None


def make_tokenizer(name):
    if name in ("llama", "gemma", "phi3"):
        return sentencepiece(name)
    return byte_level(name)


def byte_level(name):
    special = ["<|endoftext|>", "<|begin|>", "<|end|>"]
    split = {"llama-bpe": LLAMA3_SPLIT, "qwen2": QWEN2_SPLIT}.get(name)
    backend = Tokenizer(models.BPE(ignore_merges=name == "llama-bpe"))
    if split is not None:
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(split), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    elif name == "smollm":
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
        )
    else:
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if name == "qwen2":
        backend.normalizer = normalizers.NFC()
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([TEXT] * 3, trainer)
    backend.add_tokens([AddedToken("<think>", normalized=False)])
    add_bos = name == "llama-bpe"
    if add_bos:
        begin(backend, "<|begin|>")
    merges = [" ".join(pair) for pair in state(backend)["model"]["merges"]]
    tokens, types = spelled(backend, special)
    return Made(
        kind="gpt2",
        pre=name,
        backend=backend,
        tokens=tokens,
        types=types,
        special={"bos": 1, "eos": 2, "padding": 0},
        # llama.cpp knows that of llama-bpe without being told
        flags={} if add_bos else {"add_bos_token": False},
        merges=merges,
    )


def sentencepiece(name):
    gemma = name == "gemma"
    special = ["<pad>", "<eos>", "<bos>", "<unk>"] if gemma else ["<unk>", "<s>", "</s>"]
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    unk = "<unk>"
    backend = Tokenizer(
        models.BPE(unk_token=unk, fuse_unk=True, byte_fallback=True)
    )
    replace = normalizers.Replace(" ", "▁")
    if gemma:
        backend.normalizer = replace
    elif name == "phi3":
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace])
    else:
        backend.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=special + byte_tokens,
        show_progress=False,
    )
    # words with their space, as SentencePiece learns them
    words = [("▁" + word) for word in TEXT.split(" ")]
    trained = Tokenizer(models.BPE())
    trained.train_from_iterator(words, trainer)
    model = state(trained)["model"]
    vocab = model["vocab"]
    if gemma:
        # runs of spaces are tokens that were put in whole
        for count in (2, 3, 4):
            vocab["▁" * count] = len(vocab)
    # SentencePiece: a piece scores minus its rank; characters, that nothing is merged to, lowest
    scores = {token: -1000.0 - index for token, index in vocab.items()}
    for rank, (left, right) in enumerate(map(tuple, model["merges"])):
        scores[left + right] = -float(rank)
    merges = implied_merges(vocab, scores, gemma)
    backend.model = models.BPE(
        vocab=vocab, merges=merges, unk_token=unk, fuse_unk=True, byte_fallback=True
    )
    strip = [] if gemma else [decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    bos = "<bos>" if gemma else "<s>"
    begin(backend, bos)
    tokens, types = spelled(backend, special)
    for index, token in enumerate(tokens):
        if token in byte_tokens:
            types[index] = BYTE
        if gemma and len(token) > 1 and not token.strip("▁"):
            tokens[index] = token.replace("▁", " ")
            types[index] = USER
    types[vocab[unk]] = UNKNOWN
    return Made(
        kind="llama",
        pre=None if gemma else "default",
        backend=backend,
        tokens=tokens,
        types=types,
        special={"bos": vocab[bos], "eos": 1 if gemma else 2, "unknown": vocab[unk]}
        | ({"padding": vocab[unk]} if name == "phi3" else {}),
        flags={"add_bos_token": True} | ({"add_space_prefix": False} if gemma else {}),
        scores=[scores[token] for token in backend_order(backend)],
    )


def implied_merges(vocab, scores, gemma):
    """Merges of a SentencePiece vocabulary, as transformers derives them."""
    found = []
    for token in vocab:
        ways = [
            (token[:cut], token[cut:])
            for cut in range(1, len(token))
            if token[:cut] in vocab and token[cut:] in vocab
        ]
        ways.sort(key=lambda way: (vocab[way[0]], vocab[way[1]]))
        priority = -vocab[token] if gemma else scores[token]
        found.extend((priority, len(left), len(right), left, right) for left, right in ways)
    found.sort(key=lambda way: way[:3], reverse=True)
    return [(left, right) for *_, left, right in found]


def state(tokenizer):
    return json.loads(tokenizer.to_str())


def begin(backend, token):
    backend.post_processor = processors.TemplateProcessing(
        single=f"{token} $A",
        pair=f"{token} $A {token}:1 $B:1",
        special_tokens=[(token, backend.token_to_id(token))],
    )


def backend_order(backend):
    vocab = backend.get_vocab(with_added_tokens=True)
    return sorted(vocab, key=vocab.get)


def spelled(backend, special):
    tokens = backend_order(backend)
    types = [CONTROL if token in special else NORMAL for token in tokens]
    if "<think>" in tokens:
        types[tokens.index("<think>")] = USER
    return tokens, types


def write_tokenizer(writer, made):
    writer.add_tokenizer_model(made.kind)
    if made.pre is not None:
        writer.add_tokenizer_pre(made.pre)
    writer.add_token_list(made.tokens)
    writer.add_token_types(made.types)
    if made.scores is not None:
        writer.add_token_scores(made.scores)
    if made.merges is not None:
        writer.add_token_merges(made.merges)
    for name, value in made.special.items():
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", value)
    for name, value in made.flags.items():
        writer.add_bool(f"tokenizer.ggml.{name}", value)
    writer.add_chat_template(TEMPLATE)

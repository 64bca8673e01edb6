"""Measures the demo model: dense, against a unigram model, and pruned by magnitude at 10 to 70 percent.

    python evaluate.py --model ../../models/demo            print the figures
    python evaluate.py --model ../../models/demo --write    and record them in evaluation.json and the card
    python evaluate.py --model ../../models/demo --check    and fail where they differ from the recorded ones

The protocol is that of perplexity.py. Products are in float32, from the bfloat16 weights of the checkpoint.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import writeText
from buildTokenizer import write_json
from perplexity import perplexity, prunable, prune_by_magnitude, unigram_perplexity, windows_of

SPARSITIES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
TOLERANCE = 0.01
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def measure(folder: Path) -> dict:
    """The figures of the model in the folder on the held-out text beside it."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def tokens_of(text: str) -> torch.Tensor:
        return torch.tensor(tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)

    heldout = tokens_of((folder / "heldout.txt").read_bytes().decode())
    windows = windows_of(heldout)
    training = tokens_of(writeText.join_documents(writeText.training_documents()))

    def load() -> torch.nn.Module:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)

    model = load()
    pruned = []
    for sparsity in SPARSITIES:
        sparse = load()
        zeros = prune_by_magnitude(sparse, sparsity)
        entry = {"sparsity": sparsity, "zeros": round(zeros, 6), "perplexity": round(perplexity(sparse, windows), 4)}
        pruned.append(entry)
    return {
        "window": windows.shape[1],
        "windows": windows.shape[0],
        "tokens": heldout.numel(),
        "predictions": windows.shape[0] * (windows.shape[1] - 1),
        "prunedMatrices": len(prunable(model)),
        "prunedParameters": sum(m.weight.numel() for _, m in prunable(model)),
        "parameters": sum(p.numel() for p in model.parameters()),
        "unigram": round(unigram_perplexity(training, windows, tokenizer.vocab_size), 3),
        "dense": round(perplexity(model, windows), 4),
        "magnitude": pruned,
    }


def table(figures: dict) -> str:
    """The figures as a Markdown table."""
    dense = figures["dense"]
    rows = [("unigram model", "", figures["unigram"]), ("dense", "0 %", dense)]
    rows += [("magnitude, per matrix", f"{e['sparsity'] * 100:.0f} %", e["perplexity"]) for e in figures["magnitude"]]
    lines = [
        "| Model | Zeros in the pruned matrices | Perplexity | Times the dense one |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [f"| {name} | {zeros} | {value:.3f} | {value / dense:.2f} |" for name, zeros, value in rows]
    return "\n".join(lines)


def write(folder: Path, figures: dict) -> None:
    """Records the figures in evaluation.json and between the marks of the card."""
    write_json(folder / "evaluation.json", figures)
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    card.write_text(f"{before}{BEGIN}\n{table(figures)}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def differences(folder: Path, figures: dict) -> list[str]:
    """Where the figures differ from the recorded ones: counts at all, perplexities by more than the tolerance."""
    recorded = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    problems = []
    for key, value in figures.items():
        if key == "magnitude":
            pairs = [
                (f"magnitude {a['sparsity']}", a["perplexity"], b["perplexity"])
                for a, b in zip(value, recorded[key], strict=True)
            ]
        else:
            pairs = [(key, value, recorded[key])]
        for name, now, then in pairs:
            apart = abs(now / then - 1) > TOLERANCE if isinstance(now, float) else now != then
            if apart:
                problems.append(f"{name}: {now}, recorded {then}")
    if table(recorded) not in (folder / "README.md").read_text(encoding="utf-8"):
        problems.append("the card does not show the recorded figures")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="the folder of the model")
    parser.add_argument("--write", action="store_true", help="record the figures")
    parser.add_argument("--check", action="store_true", help="compare with the recorded figures")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(args.threads)
    figures = measure(args.model)
    print(table(figures))
    if args.write:
        write(args.model, figures)
    if args.check:
        problems = differences(args.model, figures)
        print("\n".join(problems) if problems else "check: the figures are the recorded ones")
        return 1 if problems else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Makes models/demo: writes the text, trains the tokenizer and the model, and records how.

    python train.py --out ../../models/demo --device cuda
    python train.py --out /tmp/demo --steps 1800          a shorter training for two processor cores

Everything that is random is seeded, and only deterministic algorithms are used. With the same versions on
the same kind of device the result is the same; elsewhere the last bits of the sums differ and so do the
weights a little, while the text and the tokenizer stay the same to the byte.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import time
from pathlib import Path

import tokenizers
import torch
import transformers
from torch import Tensor
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

import writeText
from buildTokenizer import BOS, BOS_ID, EOS, EOS_ID, PAD_ID, VOCABULARY, build_tokenizer, save_tokenizer, write_json
from perplexity import WINDOW, mean_loss, prunable, windows_of

SEED = 1234
CONTEXT = 512
BATCH = 8
STEPS = 3000
WARMUP = 150
PEAK_RATE = 3e-3
LOG_EVERY = 100
HELDOUT_EVERY = 500


def model_config() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=640,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        pad_token_id=PAD_ID,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
    )


class Batches:
    """Rows of training tokens: most are running text as in the held-out file, some teach `<s>` and `</s>`.

    Of eight rows, five are running text from anywhere, one is the same after a `<s>`, and two are single
    documents in a row, each between `<s>` and `</s>`.
    """

    def __init__(self, running: Tensor, marked: Tensor, generator: torch.Generator) -> None:
        self._running, self._marked, self._generator = running, marked, generator
        starts = (marked == BOS_ID).nonzero().view(-1)
        self._starts = starts[starts < marked.numel() - CONTEXT]

    def _below(self, limit: int) -> int:
        return int(torch.randint(limit, (1,), generator=self._generator))

    def __call__(self) -> Tensor:
        rows = []
        for index in range(BATCH):
            if index < 6:
                start = self._below(self._running.numel() - CONTEXT)
                row = self._running[start : start + CONTEXT].clone()
                if index == 5:
                    row[0] = BOS_ID
            else:
                start = int(self._starts[self._below(self._starts.numel())])
                row = self._marked[start : start + CONTEXT]
            rows.append(row)
        return torch.stack(rows)


def rate_at(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to a fiftieth of the peak."""
    if step < WARMUP:
        return PEAK_RATE * (step + 1) / WARMUP
    progress = (step - WARMUP) / max(1, steps - WARMUP)
    return PEAK_RATE * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


def optimizers_of(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the embedding and the norms."""
    matrices = [linear.weight for _, linear in prunable(model)]
    chosen = {id(weight) for weight in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=PEAK_RATE, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def train(model: LlamaForCausalLM, batches: Batches, heldout: Tensor, steps: int, precision: str) -> list[dict]:
    """Trains the model in place; returns the loss curve."""
    optimizers, curve, recent, began = optimizers_of(model), [], [], time.monotonic()
    model.train()
    for step in range(steps):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, steps)
        rows = batches().to(model.device)
        with torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = model(input_ids=rows, labels=rows).loss
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        recent.append(loss.detach())
        done = step + 1
        if done % LOG_EVERY == 0 or done == steps:
            entry = {
                "step": done,
                "tokens": done * BATCH * CONTEXT,
                "trainLoss": round(torch.stack(recent).mean().item(), 4),
            }
            if done % HELDOUT_EVERY == 0 or done == steps:
                entry["heldoutLoss"] = round(mean_loss(model, heldout), 4)
            entry["seconds"] = round(time.monotonic() - began, 1)
            curve.append(entry)
            recent = []
            print(entry, flush=True)
    return curve


def text_record(documents: list[str], seed: int) -> dict:
    text = writeText.join_documents(documents)
    size = len(text.encode())
    return {"seed": seed, "documents": len(documents), "bytes": size, "sha256": writeText.sha256(text)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder to write the model to")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--precision", choices=["bfloat16", "float32"], default="bfloat16", help="of the products while training"
    )
    args = parser.parse_args()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what makes products on a GPU deterministic
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)

    training, heldout = writeText.training_documents(), writeText.heldout_documents()
    training_text, heldout_text = writeText.join_documents(training), writeText.join_documents(heldout)
    (args.out / "heldout.txt").write_bytes(heldout_text.encode())
    tokenizer = build_tokenizer(training)
    save_tokenizer(tokenizer, args.out, CONTEXT)

    def tokens_of(text: str) -> Tensor:
        return torch.tensor(tokenizer.encode(text, add_special_tokens=False).ids)

    running, marked = tokens_of(training_text), tokens_of("".join(f"{BOS}{d}{EOS}" for d in training))
    windows = windows_of(tokens_of(heldout_text)).to(args.device)

    config = model_config()
    model = LlamaForCausalLM(config).to(args.device)
    generator = torch.Generator().manual_seed(SEED + 1)
    began = time.monotonic()
    curve = train(model, Batches(running, marked, generator), windows, args.steps, args.precision)
    seconds = time.monotonic() - began

    model = model.to("cpu", torch.bfloat16)
    model.generation_config = GenerationConfig(bos_token_id=BOS_ID, eos_token_id=EOS_ID, pad_token_id=PAD_ID)
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(args.out)
    (args.out / "model.safetensors").chmod(0o644)
    record = {
        "seed": SEED,
        "seconds": round(seconds, 1),
        "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu",
        "threads": args.threads,
        "precision": args.precision,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
        "parameters": sum(p.numel() for p in model.parameters()),
        "optimizer": {"name": "Muon and AdamW", "peakRate": PEAK_RATE, "warmup": WARMUP, "steps": args.steps},
        "batch": {"rows": BATCH, "context": CONTEXT},
        "training": text_record(training, writeText.TRAINING_SEED) | {"tokens": running.numel()},
        "heldout": text_record(heldout, writeText.HELDOUT_SEED) | {"windows": windows.shape[0], "window": WINDOW},
        "curve": curve,
    }
    write_json(args.out / "training.json", record)


if __name__ == "__main__":
    main()

"""How the demo model is measured: perplexity, the unigram baseline and pruning by magnitude.

The protocol: the whole text is tokenised once, without special tokens; the tokens are cut into disjoint
windows of 256, the incomplete one at the end is dropped; each window is read on its own and its 255
predictions give a mean cross-entropy; perplexity is the exponential of the mean over the windows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WINDOW = 256


def windows_of(tokens: Tensor, window: int = WINDOW) -> Tensor:
    """The disjoint windows of a row of tokens, one a row."""
    rows = tokens.numel() // window
    return tokens[: rows * window].view(rows, window)


@torch.no_grad()
def mean_loss(model: nn.Module, windows: Tensor, batch: int = 16) -> float:
    """The mean over the windows of their mean cross-entropy, in nats."""
    training = model.training
    model.eval()
    total = 0.0
    for rows in windows.split(batch):
        logits = model(input_ids=rows).logits[:, :-1].float()
        losses = F.cross_entropy(logits.transpose(1, 2), rows[:, 1:], reduction="none")
        total += losses.double().mean(dim=1).sum().item()
    model.train(training)
    return total / windows.shape[0]


def perplexity(model: nn.Module, windows: Tensor) -> float:
    return math.exp(mean_loss(model, windows))


def unigram_perplexity(training: Tensor, windows: Tensor, vocabulary: int) -> float:
    """That of the token frequencies of the training text, each count plus one, at the same positions."""
    counts = torch.bincount(training, minlength=vocabulary).double() + 1
    log_probability = (counts / counts.sum()).log()
    return math.exp(-log_probability[windows[:, 1:]].mean(dim=1).mean().item())


def prunable(model: nn.Module) -> list[tuple[str, nn.Linear]]:
    """The seven linear layers of each block: everything but the embedding, the norms and the output."""
    return [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear) and ".layers." in n]


@torch.no_grad()
def prune_by_magnitude(model: nn.Module, sparsity: float) -> float:
    """Zeroes the `floor(size x sparsity)` weights of each matrix that are smallest in magnitude.

    Of equal magnitudes the earlier weight goes first. Returns the share of zeros over all matrices.
    """
    zeros = total = 0
    for _, linear in prunable(model):
        flat = linear.weight.view(-1)
        order = flat.abs().sort(stable=True).indices
        flat[order[: int(flat.numel() * sparsity + 1e-9)]] = 0
        zeros += int((flat == 0).sum())
        total += flat.numel()
    return zeros / total

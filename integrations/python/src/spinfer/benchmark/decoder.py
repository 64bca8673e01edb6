"""A Llama decoder over a static cache, whose linear layers are exchangeable."""

from __future__ import annotations

import torch
from torch.nn import functional

from .glue import Glue
from .weights import Linears, Weights


class Decoder:
    """One side: the model's dense parts, its linear layers, and a cache of `length` tokens.

    Everything that a step reads and writes stays where it is, so that `step` can be captured: it
    takes the tokens of the step before from `tokens`, and moves `position` on by one.
    """

    def __init__(
        self, weights: Weights, linears: Linears, glue: Glue, *, batch: int, length: int
    ) -> None:
        shape, device = weights.shape, weights.device
        self.weights = weights
        self.linears = linears
        self.glue = glue
        self.batch = batch
        self.length = length
        sides = (batch, shape.kv_heads, length, shape.head_dim)
        self.keys = [torch.zeros(sides, dtype=weights.dtype, device=device) for _ in linears]
        self.values = [torch.zeros(sides, dtype=weights.dtype, device=device) for _ in linears]
        self.tokens = torch.zeros((batch, 1), dtype=torch.int64, device=device)
        self.position = torch.zeros(1, dtype=torch.int64, device=device)
        self.places = torch.arange(length, device=device)
        halves = torch.arange(0, shape.head_dim, 2, dtype=torch.float64, device=device)
        angles = self.places[:, None] * shape.rope_theta ** (-halves / shape.head_dim)
        angles = torch.cat((angles, angles), -1)
        self.cos = angles.cos().to(weights.dtype)
        self.sin = angles.sin().to(weights.dtype)

    @property
    def cache_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values))

    def rewind(self, count: int) -> None:
        """Makes the next step the one after `count` tokens of the cache."""
        self.position.fill_(count)

    def prompt(self, ids: torch.Tensor) -> torch.Tensor:
        """Fills the cache with ids [batch, tokens] from place 0; logits of the last token."""
        count = ids.shape[1]
        x = functional.embedding(ids, self.weights.embedding)
        last = self._layers(x, self.places[:count], None)
        logits = functional.linear(last[:, -1], self.weights.head)
        self.tokens.copy_(logits.argmax(-1, keepdim=True))
        self.position.fill_(count)
        return logits

    def step(self) -> torch.Tensor:
        """One token for each sequence; logits [batch, vocabulary]."""
        x = functional.embedding(self.tokens, self.weights.embedding)
        x = self._layers(x, self.position, self.places > self.position)
        logits = functional.linear(x[:, -1], self.weights.head)
        self.tokens.copy_(logits.argmax(-1, keepdim=True))
        self.position.add_(1)
        return logits

    def attention(self) -> None:
        """What a step does in its attention, cache included, and nothing else."""
        shape = self.weights.shape
        width = (shape.heads + 2 * shape.kv_heads) * shape.head_dim
        qkv = self.cos.new_zeros((self.batch, 1, width))
        cos, sin = self.cos[self.position], self.sin[self.position]
        hidden = self.places > self.position
        for keys, values in zip(self.keys, self.values, strict=True):
            queries = self.glue.store(qkv, cos, sin, keys, values, self.position)
            self.glue.attend(queries, keys, values, hidden)

    def _layers(
        self, x: torch.Tensor, positions: torch.Tensor, hidden: torch.Tensor | None
    ) -> torch.Tensor:
        glue, epsilon = self.glue, self.weights.shape.epsilon
        cos, sin = self.cos[positions], self.sin[positions]
        normed: torch.Tensor = glue.norm(x, self.weights.blocks[0].attention_norm, epsilon)
        for at, (block, linear) in enumerate(zip(self.weights.blocks, self.linears, strict=True)):
            keys, values = self.keys[at], self.values[at]
            queries = glue.store(linear["qkv"](normed), cos, sin, keys, values, positions)
            if hidden is None:
                mixed = _attend_prompt(queries, keys, values)
            else:
                mixed = glue.attend(queries, keys, values, hidden)
            x, normed = glue.add_norm(x, linear["o"](mixed), block.feed_forward_norm, epsilon)
            update = linear["down"](glue.gate(linear["gateUp"](normed)))
            x, normed = glue.add_norm(x, update, self._norm_after(at), epsilon)
        return normed

    def _norm_after(self, at: int) -> torch.Tensor:
        """The norm between block `at` and the next, or the head."""
        blocks = self.weights.blocks
        return blocks[at + 1].attention_norm if at + 1 < len(blocks) else self.weights.norm


def _attend_prompt(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    count = queries.shape[2]
    mixed = functional.scaled_dot_product_attention(
        queries, keys[:, :, :count], values[:, :, :count], is_causal=True, enable_gqa=True
    )
    return mixed.transpose(1, 2).flatten(2)

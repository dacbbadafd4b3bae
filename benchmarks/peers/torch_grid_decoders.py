"""The transformer and attention with a GRU in PyTorch: fused attention and `nn.GRUCell`, AdamW in one operation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

HEADS = 8


class Weights(dict[str, np.ndarray]):
    """Weights by the names that Keras gives them, and layers made of them."""

    def linear(self, name: str) -> nn.Linear:
        """A layer with Keras' weights, whose matrix is the other way round."""
        kernel, bias = self.tensor(f"{name}/kernel"), self.get(f"{name}/bias")
        layer = nn.Linear(*kernel.shape, bias=bias is not None)
        with torch.no_grad():
            layer.weight.copy_(kernel.T)
            if bias is not None:
                layer.bias.copy_(torch.from_numpy(bias))
        return layer

    def norm(self, name: str) -> nn.LayerNorm:
        """Layer normalisation, which starts as Keras' does."""
        return nn.LayerNorm(self[f"{name}/gamma"].shape[0], eps=1e-5)

    def tensor(self, name: str) -> Tensor:
        """One of the weights."""
        return torch.from_numpy(self[name])


class Attention(nn.Module):
    """Several heads that look from some vectors at others."""

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        parts = ("query", "key", "value", "output")
        self.query, self.key, self.value, self.output = (weights.linear(f"{name}/{part}") for part in parts)

    def forward(self, hidden: Tensor, memory: Tensor, causal: bool = False) -> Tensor:
        """From (batch, n, units) and (batch, m, units) to (batch, n, units)."""
        parts = self.query(hidden), self.key(memory), self.value(memory)
        split = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in parts)
        seen = functional.scaled_dot_product_attention(*split, is_causal=causal)
        return self.output(seen.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Looks at the words before, then at the regions, then thinks about each word."""

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        self.words = Attention(weights, f"{name}/self_attention")
        self.regions = Attention(weights, f"{name}/cross_attention")
        self.expand, self.contract = (weights.linear(f"{name}/{part}") for part in ("expand", "contract"))
        self.norms = nn.ModuleList([weights.norm(f"{name}/norm_{part}") for part in range(3)])

    def forward(self, hidden: Tensor, regions: Tensor) -> Tensor:
        """Words, (captions, n, units); the captions of a picture one after another."""
        normed = self.norms[0](hidden)
        hidden = hidden + self.words(normed, normed, causal=True)
        of_pictures = self.norms[1](hidden).reshape(len(regions), -1, hidden.shape[2])
        hidden = hidden + self.regions(of_pictures, regions).reshape(hidden.shape)
        return hidden + self.contract(functional.relu(self.expand(self.norms[2](hidden))))


class Transformer(nn.Module):
    """The transformer of notebook 11."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.encoder, self.encoder_norm = weights.linear("encoder"), weights.norm("encoder_norm")
        self.embedding = nn.Embedding.from_pretrained(weights.tensor("decoder/word_embedding/embeddings"), freeze=False)
        self.blocks = nn.ModuleList([Block(weights, f"decoder/block_{block}") for block in range(2)])
        self.norm = weights.norm("decoder/norm")

    def forward(self, features: Tensor, words: Tensor) -> Tensor:
        """The logits, (captions, n, vocabulary)."""
        regions, units = self.encoder_norm(self.encoder(features)), self.embedding.embedding_dim
        angles = torch.arange(words.shape[1])[:, None] / 10_000 ** (torch.arange(0, units, 2) / units)
        hidden = self.embedding(words) * units**0.5 + torch.cat([angles.sin(), angles.cos()], dim=1)
        for block in self.blocks:
            hidden = block(hidden, regions)
        return self.norm(hidden) @ self.embedding.weight.T


class VisualAttention(nn.Module):
    """The model of notebook 08."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        for name in ("encoder", "W1", "before_logits", "logits"):
            setattr(self, name, weights.linear(name))
        self.embedding = nn.Embedding.from_pretrained(weights.tensor("word_embedding/embeddings"), freeze=False)
        self.W2, self.V = (weights.linear(f"decoder/cell/attention/{name}") for name in ("W2", "V"))
        kernel, recurrent, bias = (
            weights.tensor(f"decoder/cell/gru/{part}") for part in ("kernel", "recurrent_kernel", "bias")
        )
        self.gru = nn.GRUCell(kernel.shape[0], recurrent.shape[0])
        pairs = (
            (self.gru.weight_ih, kernel.T), (self.gru.weight_hh, recurrent.T),
            (self.gru.bias_ih, bias[0]), (self.gru.bias_hh, bias[1]),
        )  # fmt: skip
        with torch.no_grad():
            for own, of_keras in pairs:  # PyTorch has the reset gate first, Keras the update gate
                update, reset, new = of_keras.chunk(3)
                own.copy_(torch.cat([reset, update, new]))

    def forward(self, features: Tensor, words: Tensor) -> Tensor:
        """The logits, (captions, n, vocabulary)."""
        regions = functional.relu(self.encoder(features))
        keys, hidden, states = self.W1(regions), regions.new_zeros(len(words), self.gru.hidden_size), []
        for word in self.embedding(words).unbind(1):
            scores = self.V(torch.tanh(keys + self.W2(hidden)[:, None]))
            context = (functional.softmax(scores, dim=1) * regions).sum(dim=1)
            hidden = self.gru(torch.cat([context, word], dim=1), hidden)
            states.append(hidden)
        return self.logits(self.before_logits(torch.stack(states, dim=1)))


def train(
    work: dict, kind: str, learning_rate: float, clip: float, label_smoothing: float, pad: int
) -> Callable[[], list[float]]:
    """A function that trains on all batches once and returns their losses."""
    folder = Path(work["folder"])
    weights, batches = Weights(np.load(folder / f"{kind}.npz")), np.load(folder / f"{kind}_batches.npz")
    model = Transformer(weights) if kind == "transformer" else VisualAttention(weights)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0, eps=1e-7, fused=True)
    features, words, targets = (batches[name] for name in ("features", "words", "targets"))

    def step(features: np.ndarray, words: np.ndarray, targets: np.ndarray) -> float:
        logits = model(torch.from_numpy(features.astype("float32")), torch.from_numpy(words))
        goal = torch.from_numpy(targets).long().flatten()
        logits = logits.flatten(0, 1)
        loss = functional.cross_entropy(logits, goal, ignore_index=pad, label_smoothing=label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        for parameter in model.parameters():  # each by itself, as the course's optimizer does
            nn.utils.clip_grad_norm_(parameter, clip)
        optimizer.step()
        return functional.cross_entropy(logits.detach(), goal, ignore_index=pad).item()  # which Keras reports, too

    return lambda: [step(*batch) for batch in zip(features, words, targets, strict=True)]

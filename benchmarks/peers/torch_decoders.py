"""The decoders in PyTorch: `nn.LSTM`, fused attention, `nn.GRUCell`, and AdamW in one operation."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.stage import Repetition
from benchmarks.stages import decoder_training as training

HEADS = 8


class Weights(dict[str, np.ndarray]):
    """Weights by the names that Keras gives them, and layers made from them."""

    def linear(self, name: str) -> nn.Linear:
        """A dense layer with Keras' weights; PyTorch's matrix is the transpose of Keras'."""
        kernel, bias = self.tensor(f"{name}/kernel"), self.get(f"{name}/bias")
        layer = nn.Linear(*kernel.shape, bias=bias is not None)
        return _filled(layer, kernel.T, *([] if bias is None else [torch.from_numpy(bias)]))

    def norm(self, name: str) -> nn.LayerNorm:
        """Layer normalisation, with the same initial values as in Keras."""
        return nn.LayerNorm(self[f"{name}/gamma"].shape[0], eps=1e-5)

    def embedding(self, name: str) -> nn.Embedding:
        """Word vectors, which are trained as well."""
        return nn.Embedding.from_pretrained(self.tensor(f"{name}/embeddings"), freeze=False)

    def recurrent(self, cell: str) -> tuple[Tensor, Tensor, Tensor]:
        """Kernel, recurrent kernel and bias of a cell."""
        kernel, recurrent, bias = (self.tensor(f"{cell}/{part}") for part in ("kernel", "recurrent_kernel", "bias"))
        return kernel, recurrent, bias

    def tensor(self, name: str) -> Tensor:
        """One of the weights."""
        return torch.from_numpy(self[name])


def _filled(module: Any, *values: Tensor) -> Any:
    """The module with its parameters set to these values, in their order."""
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), values, strict=True):
            parameter.copy_(value)
    return module


class Decoder(nn.Module):
    """The bottlenecked LSTM. The second bias of PyTorch's LSTM stays at 0, since Keras has only one."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.mean, self.deviation = weights.tensor("standardise/mean"), weights.tensor("standardise/variance").sqrt()
        for name in ("image_bottleneck", "initial_state", "logit_bottleneck", "logits"):
            setattr(self, name, weights.linear(name))
        self.word_embedding = weights.embedding("word_embedding")
        kernel, recurrent, bias = weights.recurrent("lstm/lstm_cell")
        lstm = nn.LSTM(len(kernel), len(recurrent), batch_first=True)
        self.lstm = _filled(lstm, kernel.T, recurrent.T, bias, torch.zeros_like(bias))  # gates in the same order
        self.lstm.bias_hh_l0.requires_grad_(False)

    def start(self, features: Tensor) -> Tensor:
        """The initial h, which is also the initial c, (images, units)."""
        image = functional.elu(self.image_bottleneck((features - self.mean) / self.deviation))
        return functional.elu(self.initial_state(image))

    def predict(self, hidden: Tensor) -> Tensor:
        """From h to logits."""
        return self.logits(functional.elu(self.logit_bottleneck(hidden)))

    def forward(self, features: Tensor, words: Tensor, real: Tensor) -> Tensor:
        """The logits where `real` is true, (real words, vocabulary); the others are never computed."""
        state = self.start(features)[None]
        hidden, _ = self.lstm(self.word_embedding(words), (state, state))
        return self.predict(hidden[real])


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
        """From and to words, (captions, n, units); the captions of a picture follow one another."""
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
        self.embedding = weights.embedding("decoder/word_embedding")
        self.blocks = nn.ModuleList([Block(weights, f"decoder/block_{block}") for block in range(2)])
        self.norm = weights.norm("decoder/norm")

    def forward(self, features: Tensor, words: Tensor, real: Tensor) -> Tensor:
        """The logits where `real` holds, (real words, vocabulary)."""
        regions, units = self.encoder_norm(self.encoder(features)), self.embedding.embedding_dim
        angles = torch.arange(words.shape[1])[:, None] / 10_000 ** (torch.arange(0, units, 2) / units)
        hidden = self.embedding(words) * units**0.5 + torch.cat([angles.sin(), angles.cos()], dim=1)
        for block in self.blocks:
            hidden = block(hidden, regions)
        return self.norm(hidden)[real] @ self.embedding.weight.T


class VisualAttention(nn.Module):
    """The model of notebook 08."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        for name in ("encoder", "W1", "before_logits", "logits"):
            setattr(self, name, weights.linear(name))
        self.embedding = weights.embedding("word_embedding")
        self.W2, self.V = (weights.linear(f"decoder/cell/attention/{name}") for name in ("W2", "V"))
        kernel, recurrent, bias = weights.recurrent("decoder/cell/gru")
        gates = [value.chunk(3) for value in (kernel.T, recurrent.T, *bias)]
        # PyTorch has the reset gate first, Keras the update gate
        values = [torch.cat([reset, update, new]) for update, reset, new in gates]
        self.gru = _filled(nn.GRUCell(len(kernel), len(recurrent)), *values)

    def forward(self, features: Tensor, words: Tensor, real: Tensor) -> Tensor:
        """The logits where `real` holds, (real words, vocabulary)."""
        regions = functional.relu(self.encoder(features))
        keys, hidden, states = self.W1(regions), regions.new_zeros(len(words), self.gru.hidden_size), []
        for word in self.embedding(words).unbind(1):
            scores = self.V(torch.tanh(keys + self.W2(hidden)[:, None]))
            context = (functional.softmax(scores, dim=1) * regions).sum(dim=1)
            hidden = self.gru(torch.cat([context, word], dim=1), hidden)
            states.append(hidden)
        return self.logits(self.before_logits(torch.stack(states, dim=1)[real]))


def train(work: dict) -> Repetition:
    """Train with a loop over the batches."""
    models = {"decoder": Decoder, "transformer": Transformer, "attention": VisualAttention}
    model = models[work["kind"]](Weights(np.load(Path(work["folder"], "weights.npz"))))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=training.LEARNING_RATE, weight_decay=0, eps=training.EPSILON, fused=True)
    smoothing = training.LABEL_SMOOTHING if work["kind"] == "transformer" else 0.0
    batches = training.batches_in_order(work)
    # each by itself, as the course's optimizer does; the LSTM's never reach the limit, and one call is fastest
    clipped_together = [trained] if work["kind"] == "decoder" else [[parameter] for parameter in trained]

    def step(features: np.ndarray, words: np.ndarray, targets: np.ndarray) -> float:
        goal = torch.from_numpy(targets).long()
        real = goal != training.PAD
        logits, goal = model(torch.from_numpy(features), torch.from_numpy(words), real), goal[real]
        loss = functional.cross_entropy(logits, goal, label_smoothing=smoothing)
        optimizer.zero_grad()
        loss.backward()
        for group in clipped_together:
            nn.utils.clip_grad_norm_(group, training.CLIP)
        optimizer.step()
        reported = functional.cross_entropy(logits.detach(), goal) if smoothing else loss  # as Keras reports it
        return reported.item()

    return training.first_losses(work["steps"], lambda: ([step(*batch) for batch in batches], None))

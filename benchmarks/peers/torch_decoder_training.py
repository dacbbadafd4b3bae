"""The decoder in PyTorch: `nn.LSTM`, the vocabulary product for real words only, Adam in one fused operation."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.stage import Repetition
from benchmarks.stages.decoder_training import CLIP, EPSILON, LEARNING_RATE, PAD, batches_in_order, first_losses


class Decoder(nn.Module):
    """The decoder with the weights of the start. PyTorch's second bias of the LSTM stays at 0: Keras has only one."""

    def __init__(self, work: dict) -> None:
        super().__init__()
        weights = {name: torch.from_numpy(value) for name, value in np.load(work["weights"]).items()}
        self.register_buffer("mean", weights["standardise/0"])
        self.register_buffer("deviation", weights["standardise/1"].sqrt())
        self.image_bottleneck = _linear(weights, "image_bottleneck")
        self.initial_state = _linear(weights, "initial_state")
        self.word_embedding = nn.Embedding.from_pretrained(weights["word_embedding/0"], freeze=False)
        self.lstm = nn.LSTM(work["word"], work["units"], batch_first=True)
        with torch.no_grad():  # the gates stand in the same order
            self.lstm.weight_ih_l0.copy_(weights["lstm/0"].T)
            self.lstm.weight_hh_l0.copy_(weights["lstm/1"].T)
            self.lstm.bias_ih_l0.copy_(weights["lstm/2"])
            self.lstm.bias_hh_l0.zero_()
        self.lstm.bias_hh_l0.requires_grad_(False)
        self.logit_bottleneck = _linear(weights, "logit_bottleneck")
        self.logits = _linear(weights, "logits")

    def forward(self, embeds: torch.Tensor, words: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """The logits where `real` holds, (real words, vocabulary)."""
        image = functional.elu(self.image_bottleneck((embeds - self.mean) / self.deviation))
        state = functional.elu(self.initial_state(image))[None]
        hidden, _ = self.lstm(self.word_embedding(words), (state, state))
        return self.logits(functional.elu(self.logit_bottleneck(hidden[real])))


def _linear(weights: dict[str, torch.Tensor], name: str) -> nn.Linear:
    """A layer with Keras' weights, whose matrix is the other way round."""
    kernel, bias = weights[f"{name}/0"], weights[f"{name}/1"]
    layer = nn.Linear(*kernel.shape)
    with torch.no_grad():
        layer.weight.copy_(kernel.T)
        layer.bias.copy_(bias)
    return layer


def train(work: dict) -> Repetition:
    """Train with a loop over the batches."""
    model, batches = Decoder(work), batches_in_order(work)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=LEARNING_RATE, eps=EPSILON, fused=True)

    def step(embeds: np.ndarray, words: np.ndarray, targets: np.ndarray) -> float:
        goal = torch.from_numpy(targets).long()
        real = goal != PAD
        loss = functional.cross_entropy(model(torch.from_numpy(embeds), torch.from_numpy(words), real), goal[real])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, CLIP)
        optimizer.step()
        return loss.item()

    return first_losses(work["steps"], lambda: [step(*batch) for batch in batches])

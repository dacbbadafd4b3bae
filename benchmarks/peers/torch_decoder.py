"""The decoder in PyTorch, as its users write it: modules, a loop over the words under `inference_mode`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from benchmarks.decoder_work import BEAMS, MAX_LEN
from benchmarks.peers.decoding import read_work, search_all, search_one_by_one
from benchmarks.stage import Sample
from say_what_you_see.decoding.samplers import SpecialTokens

NEVER = -1e9


class TorchDecoder(nn.Module):
    """The course's decoder with the weights of the work."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.image_bottleneck, self.initial_state, self.logit_bottleneck, self.logits = (
            _linear(weights[f"{name}/0"], weights[f"{name}/1"])
            for name in ("image_bottleneck", "initial_state", "logit_bottleneck", "logits")
        )
        self.word_embedding = nn.Embedding.from_pretrained(torch.from_numpy(weights["word_embedding/0"]))
        kernel, recurrent, bias = (torch.from_numpy(weights[f"lstm/{part}"]) for part in range(3))
        self.cell = nn.LSTMCell(*(len(kernel), len(recurrent)))
        self.cell.weight_ih.data, self.cell.weight_hh.data = kernel.T.contiguous(), recurrent.T.contiguous()
        self.cell.bias_ih.data, self.cell.bias_hh.data = bias, torch.zeros_like(bias)  # gates stand as in Keras

    def start(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The first state."""
        elu = nn.functional.elu
        state = elu(self.initial_state(elu(self.image_bottleneck(features))))
        return state, state

    def step(
        self, words: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Logits of the next words, and the new state."""
        h, c = self.cell(self.word_embedding(words), state)
        return self.logits(nn.functional.elu(self.logit_bottleneck(h))), (h, c)


def _linear(kernel: np.ndarray, bias: np.ndarray) -> nn.Linear:
    layer = nn.Linear(*kernel.shape)
    layer.weight.data, layer.bias.data = torch.from_numpy(kernel.T.copy()), torch.from_numpy(bias)
    return layer


@torch.inference_mode()
def greedy_search(model: TorchDecoder, features: np.ndarray, tokens: SpecialTokens) -> tuple[np.ndarray, np.ndarray]:
    """The most probable word each time, until all captions have ended."""
    state = model.start(torch.from_numpy(features))
    words = torch.full((len(features),), tokens.start)
    captions = torch.full((len(features), MAX_LEN), tokens.end)
    running, total = torch.ones(len(features), dtype=torch.bool), torch.zeros(len(features))
    suppressed = list(tokens.suppressed)
    for position in range(MAX_LEN):
        logits, state = model.step(words, state)
        normaliser = logits.logsumexp(dim=-1)
        logits[:, suppressed] = NEVER
        best, words = logits.max(dim=-1)
        total += (best - normaliser) * running
        words = words.where(running, tokens.end)
        captions[:, position] = words
        running &= words != tokens.end
        if not running.any():
            break
    return captions.numpy(), total.numpy()


@torch.inference_mode()
def beam_search(model: TorchDecoder, features: np.ndarray, tokens: SpecialTokens) -> tuple[np.ndarray, np.ndarray]:
    """The k best captions of each picture, all pictures together, until nothing better can come for any of them.

    Of each beam only its k best words can be among the k best of its picture.
    """
    pictures, k = len(features), BEAMS
    state = tuple(part.repeat_interleave(k, 0) for part in model.start(torch.from_numpy(features)))
    words = torch.full((pictures, k), tokens.start)
    captions = torch.full((pictures, k, MAX_LEN), tokens.end)
    finished, total = torch.zeros((pictures, k), dtype=torch.bool), torch.full((pictures, k), NEVER)
    total[:, 0] = 0
    found, found_captions = torch.full((pictures, k), NEVER), captions
    first_row, suppressed = k * torch.arange(pictures)[:, None], list(tokens.suppressed)
    only_end = torch.full((k,), NEVER)
    only_end[0] = 0
    for position in range(MAX_LEN):
        logits, state = model.step(words.view(-1), state)
        normaliser = logits.logsumexp(dim=-1, keepdim=True)
        logits[:, suppressed] = NEVER
        best, choices = logits.topk(k, dim=-1)
        best = torch.where(finished[..., None], only_end, (best - normaliser).view(pictures, k, k))
        choices = choices.view(pictures, k, k).where(~finished[..., None], tokens.end)
        total, chosen = (total[..., None] + best).view(pictures, -1).topk(k, dim=-1)
        parents, words = chosen // k, choices.view(pictures, -1).gather(1, chosen)
        captions = captions.gather(1, parents[..., None].expand_as(captions))
        captions[:, :, position] = words
        before = finished.gather(1, parents)
        finished = before | (words == tokens.end)
        found, found_captions = _best_of(found, found_captions, total.where(finished & ~before, NEVER), captions)
        state = tuple(part[(first_row + parents).view(-1)] for part in state)
        if (found[:, -1] >= total.where(~finished, NEVER).max(dim=1).values).all():
            break
    found, found_captions = _best_of(found, found_captions, total.where(~finished, NEVER), captions)
    return found_captions[:, 0].numpy(), found[:, 0].numpy()


def _best_of(
    score: torch.Tensor, captions: torch.Tensor, new_score: torch.Tensor, new_captions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k best of captions found so far and of others."""
    score, best = torch.cat([score, new_score], dim=1).topk(score.shape[1], dim=1)
    both = torch.cat([captions, new_captions], dim=1)
    return score, both.gather(1, best[..., None].expand(-1, -1, both.shape[2]))


def greedy_one(work: dict) -> Callable[[], Sample]:
    """Greedy, one picture at a time."""
    weights, features, tokens = read_work(work)
    model = TorchDecoder(weights).eval()
    return search_one_by_one(lambda rows: greedy_search(model, rows, tokens), features, rounds=4)


def greedy_many(work: dict) -> Callable[[], Sample]:
    """Greedy, all pictures together."""
    weights, features, tokens = read_work(work)
    model = TorchDecoder(weights).eval()
    return search_all(lambda rows: greedy_search(model, rows, tokens), features)


def beam_many(work: dict) -> Callable[[], Sample]:
    """Beam search, all pictures together."""
    weights, features, tokens = read_work(work)
    model = TorchDecoder(weights).eval()
    return search_all(lambda rows: beam_search(model, rows, tokens), features)

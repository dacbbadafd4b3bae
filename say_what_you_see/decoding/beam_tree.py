"""Beam search of one picture, with everything that it considered on the way."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from say_what_you_see.decoding.samplers import next_word_of, special_tokens
from say_what_you_see.language.captions import END, START, invert_vocabulary
from say_what_you_see.models.step import StepModel


@dataclass(frozen=True)
class TreeNode:
    """A word that beam search considered."""

    word: str
    step: int  # its place in the caption; START has 0
    rank: int  # its place among the candidates of its step, 0 for the best
    parent: int | None  # the number of the node before it in the list, None for START
    log_probability: float  # of the caption up to this word
    kept: bool  # whether the search followed it


def grow_beam_tree(
    model: StepModel, features: np.ndarray, vocab: dict[str, int], k: int = 2, max_len: int = 20
) -> list[TreeNode]:
    """Search for a caption of one picture, (1, ...), and record the 2 k best candidates of each step.

    It finds what `BeamSearch(k)` finds.
    """
    words, next_word = invert_vocabulary(vocab), next_word_of(model, special_tokens(vocab))
    tree = [TreeNode(START, 0, 0, None, 0.0, True)]
    beams, state = [0], model.start(features)
    for step in range(1, max_len + 1):
        if all(tree[beam].word == END for beam in beams):
            break
        log_probs, state = next_word(np.array([vocab[tree[beam].word] for beam in beams]), state)
        candidates = []  # (log-probability, which beam, word); what is finished stays as it is
        for row, beam in enumerate(beams):
            if tree[beam].word == END:
                candidates.append((tree[beam].log_probability, row, END))
                continue
            for index in log_probs[row].argsort()[::-1][: 2 * k]:
                candidates.append((tree[beam].log_probability + float(log_probs[row, index]), row, words[index]))
        candidates.sort(key=lambda candidate: -candidate[0])
        first = len(tree)
        for rank, (total, row, word) in enumerate(candidates[: 2 * k]):
            tree.append(TreeNode(word, step, rank, beams[row], total, rank < k))
        rows = [row for _, row, _ in candidates[:k]]
        beams, state = list(range(first, first + len(rows))), state.take(np.array(rows))
    return tree


def best_path(tree: Sequence[TreeNode]) -> list[int]:
    """The indices of the nodes of the caption that the search returns: the best that ended or reached the last step."""
    last = max(node.step for node in tree)
    candidates = [i for i, node in enumerate(tree) if node.kept and (node.word == END or node.step == last)]
    path = [max(candidates, key=lambda i: (tree[i].log_probability, tree[i].step))]
    while (parent := tree[path[0]].parent) is not None:
        path.insert(0, parent)
    return path

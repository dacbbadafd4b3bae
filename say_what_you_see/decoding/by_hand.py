"""Greedy decoding and beam search of one picture in plain Python: what `generate` does for many pictures at once."""

import numpy as np

from say_what_you_see.decoding.samplers import NextWord, SpecialTokens
from say_what_you_see.models.step import State


def greedy_search(next_word: NextWord, state: State, tokens: SpecialTokens, max_len: int = 20) -> list[int]:
    """Caption one picture with the most probable word at each step: at most `max_len` indices, END among them.

    Args:
        next_word: from the last word, in an array, and the state before it to log p of each next word,
            (1, vocabulary), and the new state.
        state: of the picture, before the first word.
    """
    words = [tokens.start]
    while words[-1] != tokens.end and len(words) <= max_len:
        log_p, state = next_word(np.array(words[-1:]), state)
        words.append(int(log_p[0].argmax()))
    return words[1:]


def beam_search(
    next_word: NextWord, state: State, tokens: SpecialTokens, k: int = 3, alpha: float = 0.0, max_len: int = 20
) -> list[tuple[tuple[int, ...], float]]:
    """Caption one picture, following the k best beginnings at once: the k best captions, each with its log p.

    A finished caption competes with the others as it is, and keeps its place while it is among the k best. In the end
    all that ever were finished among the k best compete with those that were cut.

    Args:
        next_word, state: as in `greedy_search`.
        alpha: the length penalty; captions of n words are ranked by log p / n ** alpha.
    """

    def score(beam):
        return beam[1] / (len(beam[0]) - 1) ** alpha

    beams: list[tuple[tuple[int, ...], float, State]] = [((tokens.start,), 0.0, state)]
    ended: dict[tuple[int, ...], float] = {}
    for _ in range(max_len):
        longer = [beam for beam in beams if beam[0] in ended]
        for words, total, state in beams:
            if words not in ended:
                log_p, state = next_word(np.array(words[-1:]), state)
                longer += [((*words, word), total + log_p[0, word], state) for word in range(log_p.shape[1])]
        beams = sorted(longer, key=score, reverse=True)[:k]
        ended |= {words: total for words, total, _ in beams if words[-1] == tokens.end}
    ended |= {words: total for words, total, _ in beams}  # those that were cut
    return [(words[1:], total) for words, total in sorted(ended.items(), key=score, reverse=True)[:k]]

"""BLEU of a single caption, step by step (Papineni et al. 2002, https://aclanthology.org/P02-1040).

Written to be read. Scores come from `say_what_you_see.evaluation.metrics`, which uses the reference implementation.
"""

import math
from collections import Counter
from collections.abc import Sequence


def count_ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """How often each run of n words occurs."""
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def clipped_matches(candidate: Sequence[str], references: Sequence[Sequence[str]], n: int) -> tuple[int, int]:
    """How many of a caption's n-grams occur in a reference, and how many it has in all.

    A repeated n-gram counts at most as often as it occurs in the one reference that has it most often:
    otherwise "the the the the" would be perfect.
    """
    found = count_ngrams(candidate, n)
    allowed: Counter[tuple[str, ...]] = Counter()
    for reference in references:
        allowed |= count_ngrams(reference, n)  # the larger of the two counts
    return (found & allowed).total(), found.total()


def brevity_penalty(length: int, reference_lengths: Sequence[int]) -> float:
    """A factor below 1 for a caption that is shorter than the reference whose length is closest to its own."""
    closest = min(reference_lengths, key=lambda other: (abs(other - length), other))
    return min(1.0, math.exp(1 - closest / length)) if length else 0.0


def bleu_by_hand(candidate: str, references: Sequence[str], n: int = 4) -> float:
    """BLEU-n: the geometric mean of the shares of n-grams that match, from 1 to n, times the brevity penalty."""
    words, others = candidate.split(), [reference.split() for reference in references]
    shares = []
    for size in range(1, n + 1):
        matches, total = clipped_matches(words, others, size)
        print(f"{size}-grams: {matches} of {total} are in a reference")
        shares.append(matches / total if total else 0.0)
    penalty = brevity_penalty(len(words), [len(other) for other in others])
    print(f"{len(words)} words; brevity penalty {penalty:.3f}")
    return penalty * math.prod(shares) ** (1 / n)

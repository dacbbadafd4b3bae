"""The exercises of notebook 06: other right answers than the course's pass, and reports say what differs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from exercise_samples import assert_right

from say_what_you_see.evaluation.bleu_by_hand import brevity_penalty, clipped_matches, count_ngrams
from say_what_you_see.evaluation.caption_variants import COLOUR_NAMES, fit_articles

pytestmark = pytest.mark.usefixtures("data_folder")


def test_ngrams_by_zip():
    assert_right(lambda words, n: Counter(zip(*(words[i:] for i in range(n)), strict=False)), "count_ngrams")


def test_matches_key_by_key():
    def match(candidate, references, n):
        found, counts = count_ngrams(candidate, n), [count_ngrams(reference, n) for reference in references]
        matches = sum(min(count, max(c[run] for c in counts)) for run, count in found.items())
        return matches, max(len(candidate) - n + 1, 0)

    assert_right(match, "clipped_matches")


def test_bleu_by_logarithms():
    def bleu(candidate, references, n=4):
        words, others = candidate.split(), [reference.split() for reference in references]
        pairs = [clipped_matches(words, others, size) for size in range(1, n + 1)]
        if not all(matches for matches, _ in pairs):
            return 0.0
        mean = np.mean([np.log(matches / total) for matches, total in pairs])
        return float(np.exp(mean) * brevity_penalty(len(words), [len(other) for other in others]))

    assert_right(bleu, "bleu_by_hand")


def test_colours_swapped_by_a_loop():
    def swap(caption):
        words, first = caption.split(), None
        for i, word in enumerate(words):
            if word in COLOUR_NAMES:
                if first is None:
                    first = i
                elif word != words[first]:
                    words[first], words[i] = word, words[first]
                    return " ".join(fit_articles(words))
        return caption

    assert_right(swap, "swap_colours")

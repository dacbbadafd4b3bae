"""The reward equals the field's CIDEr-D, with END as a word."""

import numpy as np
from pycocoevalcap.cider.cider import Cider

from say_what_you_see.language.captions import END, PAD, START, UNK, pack_captions
from say_what_you_see.training.cider_reward import CiderReward

VOCAB = {word: index for index, word in enumerate([PAD, "a", START, "dog", UNK, END, *"bcdefghijklm"])}
WORDS = [index for word, index in VOCAB.items() if word not in (PAD, START, END)]


def random_captions(rng: np.random.Generator, count: int) -> list[list[int]]:
    """Captions from START to END, of 0 to 12 words, the first ones frequent."""
    drawn = (rng.geometric(0.3, size=rng.integers(13)) - 1 for _ in range(count))
    return [[VOCAB[START], *(WORDS[min(word, len(WORDS) - 1)] for word in words), VOCAB[END]] for words in drawn]


def reference_scores(references: list[list[list[int]]], captions: np.ndarray) -> np.ndarray:
    """CIDEr-D of one caption for each picture by the reference implementation, each index a word."""

    def text(caption) -> str:
        caption = [index for index in caption if index not in (VOCAB[START], VOCAB[PAD])]
        return " ".join(map(str, caption[: caption.index(VOCAB[END]) + 1] if VOCAB[END] in caption else caption))

    theirs = {picture: [text(caption) for caption in group] for picture, group in enumerate(references)}
    return Cider().compute_score(theirs, {picture: [text(caption)] for picture, caption in enumerate(captions)})[1]


def test_rewards_are_those_of_the_reference_implementation():
    rng = np.random.default_rng(0)
    references = [random_captions(rng, rng.integers(1, 6)) for _ in range(60)]
    reward = CiderReward(pack_captions(references, VOCAB[PAD]), VOCAB)
    rounds = []
    for _ in range(4):
        captions = np.full((60, 14), VOCAB[END])
        for row, caption in zip(captions, random_captions(rng, 60), strict=True):
            row[: len(caption) - 1] = caption[1:]
        captions[0, : len(references[0][0]) - 1] = references[0][0][1:]  # as a person wrote it
        captions[1] = WORDS[1]  # without an end
        captions[2, 1:] = rng.choice(WORDS, 13)  # END at once, and what stands behind it
        captions[2, 0] = VOCAB[END]
        rounds.append(captions)
    expected = np.array([reference_scores(references, captions) for captions in rounds])
    assert expected.min() == 0 and expected.max() > 2
    pictures = np.tile(np.arange(60), 4)
    shuffled = rng.permutation(len(pictures))
    rewards = reward(np.concatenate(rounds)[shuffled], pictures[shuffled])
    np.testing.assert_allclose(rewards, expected.ravel()[shuffled], atol=1e-6)

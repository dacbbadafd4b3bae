"""Mistakes in captions of scenes are found, named and counted in matrices."""

from itertools import product

from scene_samples import BALL_AND_KITE as TRUTH

from say_what_you_see.data.scenes.scene import COLOURS
from say_what_you_see.evaluation.caption_errors import (
    Confusion,
    best_and_worst,
    colour_confusion,
    confusion_in_words,
    count_swapped_colours,
    thing_confusion,
    word_confusion,
)
from say_what_you_see.evaluation.trained import ScoredPictures


def entries(confusion: Confusion) -> dict[tuple[str, str], float]:
    """What was counted, by what is there and what it is called."""
    named = zip(product(confusion.rows, confusion.columns), confusion.counts.ravel(), strict=True)
    return {names: count for names, count in named if count}


def test_the_best_caption_has_no_wrong_claim_and_most_right_ones():
    captions = ["a blue ball", "a kite above a ball", "a boat", "a red ball below a blue kite"]
    references = [["a red ball and a blue kite"]] * 4
    pictures = ScoredPictures(list("abcd"), [1, 2, 3, 4], references, [TRUTH] * 4)
    assert best_and_worst(captions, pictures) == ([3, 1], [2, 0])
    assert best_and_worst(captions, pictures, most=1) == ([3], [2])


def test_photographs_are_ranked_by_cider():
    references = [["a dog runs"], ["two birds fly"], ["one boat at sea"], ["a cat"]]
    pictures = ScoredPictures(list("abcd"), [1, 2, 3, 4], references)
    captions = ["two cats sleep", "two birds sit", "one boat at sea", ""]
    assert best_and_worst(captions, pictures) == ([2, 1], [3, 0])


def test_colours_are_counted_where_thing_and_colour_are_named():
    confusion = colour_confusion(["a red kite and a red ball", "a ball and a green boat", "a white ball"], [TRUTH] * 3)
    assert confusion.rows == confusion.columns == COLOURS
    assert entries(confusion) == {("blue", "red"): 1, ("red", "red"): 1, ("red", "white"): 1}
    assert confusion_in_words(confusion, most=1).startswith("33 % on the diagonal; ")
    assert confusion_in_words(colour_confusion(["in the snow"], [TRUTH])) == "empty"


def test_words_of_photographs_are_counted_where_most_references_have_them():
    references = [["a dog runs", "the dog", "a pet"], ["a man", "a man", "an old man"], ["a dog", "one dog", "a man"]]
    confusion = word_confusion(["a dog", "a dog", "a man"], references, most=2)
    # the last caption says what one writer says, too: nothing is invented, and "dog" is passed over
    assert entries(confusion) == {("dog", "dog"): 1, ("man", "dog"): 1, ("dog", "not named"): 1}


def test_a_swapped_colour_belongs_to_another_thing_of_the_picture():
    captions = ["a blue ball and a red kite", "a green ball", "a red ball"]
    assert count_swapped_colours(captions, [TRUTH] * 3) == (2, 3)


def test_a_thing_that_is_missed_may_have_been_taken_for_an_invented_one():
    found = entries(thing_confusion(["a ball and a boat", "a ball", "a ball, a kite and a car", "a tree"], [TRUTH] * 4))
    assert found["kite", "boat"] == found["nothing", "car"] == 1
    assert found["kite", "not named"] == 1 + 0.5
    assert found["ball", "tree"] == found["kite", "tree"] == 0.5

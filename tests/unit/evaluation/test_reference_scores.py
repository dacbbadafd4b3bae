"""What can be measured of captions where only reference captions are known."""

import math
import re

import numpy as np
import pytest

from say_what_you_see.evaluation.commonest_captions import commonest_captions, pictures_by_word
from say_what_you_see.evaluation.reference_scores import (
    cider_by_likeness,
    cider_by_word,
    fits_own_picture,
    frequent_words,
    halves_by_agreement,
    telling_words,
    word_scores,
)

DOGS = [["a dog runs in the snow", "the brown dog plays", f"a dog number {i}"] for i in range(6)]
BOATS = [["a boat on the water", "a white boat sails", f"the boat and cloud {i}"] for i in range(6)]
REFERENCES = [*DOGS, *BOATS]
RIGHT = ["a dog runs in the snow"] * 6 + ["a white boat sails"] * 6


@pytest.mark.parametrize(("captions", "lowest", "highest"), [
    ([group[2] for group in REFERENCES], 1, 1),
    (["a man rides a horse"] * 12, 0.5, 0.5),
    (RIGHT[::-1], 0, 0.5),
], ids=["of its own picture", "of none", "of the others"])  # fmt: skip
def test_captions_that_fit_their_own_picture_are_told_from_guesses(captions, lowest, highest):
    score = fits_own_picture(captions, REFERENCES)
    assert lowest <= score.low <= score.value <= score.high <= max(highest, score.value) and score.value <= highest


def test_words_are_held_against_those_of_the_references():
    captions = ["a dog runs in the water", "the dog"]
    references = [["a dog in the snow", "the dog runs"], ["a cat", "a black cat", "two dogs"]]
    scores = word_scores(captions, references)
    assert [round(score.value, 3) for score in scores.values()] == [0.5, 0, 0.5]  # dog, runs of 4; 0 of 2; dog, not cat
    dogs = word_scores(captions, references, among={"dog", "dogs", "cat"})
    assert dogs["words that a reference has"].value == 0.5 and dogs["captions of such words only"].value == 0.5
    assert math.isnan(word_scores(["in the"], [["a dog"]])["words that a reference has"].value)


def test_pictures_are_halved_by_how_much_their_references_agree():
    alike = [[f"a {thing} by the sea", f"a {thing} by the sea"] for thing in ("dog", "boat")]
    differ = [["two men talk", "somebody waits here"], ["some trees", "an old house and its garden"]]
    halves = halves_by_agreement([differ[0], alike[0], differ[1], alike[1]])
    assert sorted(halves["writers agree"]) == [1, 3] and sorted(halves["writers differ"]) == [0, 2]


def test_frequent_words_are_those_that_most_writers_use_and_no_articles():
    assert set(frequent_words(REFERENCES, 2)) == {"dog", "boat"}
    assert {"the", "a"}.isdisjoint(frequent_words(REFERENCES, 100))


def test_telling_words_are_frequent_here_and_rare_there():
    assert set(telling_words(DOGS, BOATS, 2)) <= {"dog", "snow", "in", "runs", "brown", "plays", "number"}
    assert "the" not in telling_words(BOATS, DOGS, 2), "it is in the captions of all pictures"


def test_words_whose_pictures_are_captioned_well_come_first():
    captions = ["a boat on the water"] * 12
    _, first, *_, last = cider_by_word(captions, REFERENCES, 2).splitlines()
    assert re.match(r"boat +6 ", first) and re.match(r"dog +6 ", last)


def test_pictures_are_halved_by_their_likeness_to_the_training_pictures():
    near, far = np.random.default_rng(0).normal(size=(2, 6, 8))
    train = np.repeat(near, 5, axis=0)
    like, unlike = cider_by_likeness(
        RIGHT[:6] + ["nothing"] * 6, REFERENCES, train, np.vstack([near, far])
    ).splitlines()
    assert re.search(r" 6 pictures", like) and re.search(r" 6 pictures, CIDEr 0\.0 ", unlike)
    assert float(re.search(r"CIDEr ([\d.]+)", like)[1]) > 10


def test_a_model_that_repeats_itself_stands_out():
    sentences = ["a giraffe next to a tree"] * 8 + ["a giraffe"] * 2 + ["a car"] * 5
    references = [[f"giraffe number {i}", f"animal {i}"] for i in range(10)] + [["a car", "a car"]] * 5
    giraffes, cars, nothing = commonest_captions(
        sentences, references, {"giraffe": range(10), "car": range(10, 15), "all": range(15), "none": []}
    )
    assert (giraffes.kind, giraffes.pictures, giraffes.caption) == ("giraffe", 10, "a giraffe next to a tree")
    assert giraffes.share == 0.8 and giraffes.people_share == pytest.approx(0.1)
    assert cars.share == cars.people_share == 1
    assert nothing.kind == "all" and nothing.share == pytest.approx(8 / 15)


def test_photographs_are_grouped_by_what_most_people_say():
    references = [["A dog", "the dog runs", "a pet"], ["a dog", "a cat", "A cat"], ["dog dog", "x", "y"]]
    assert pictures_by_word(references, ["dog", "cat", "tree"]) == {"dog": [0], "cat": [1], "tree": []}

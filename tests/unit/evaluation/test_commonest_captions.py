"""The giraffe next to a tree: counting how often one caption is given, to the model and to people alike."""

import pytest

from say_what_you_see.evaluation.commonest_captions import commonest_captions, pictures_by_word


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

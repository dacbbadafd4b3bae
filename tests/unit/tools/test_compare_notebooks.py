"""What counts as the same output."""

import pytest
from compare_notebooks import differences
from notebook_samples import executed, notebook, picture, printed


def compare(before, after, *tags):
    return list(differences(*(notebook(executed("f()", 1, printed(text), tags=tags)) for text in (before, after))))


@pytest.mark.parametrize("tag", ["deterministic", "nbval-check-output"])
def test_texts_must_be_the_same(tag):
    assert compare("a 1\n", "a 1\n", tag) == []
    (difference,) = compare("a 1\nb\n", "a 2\nb\n", tag)
    assert all(part in difference for part in ("cell [1]", "-a 1", "+a 2"))


def test_numbers_may_differ_a_little():
    assert compare("loss 2.00 nats\n", "loss 2.30 nats, say\n", "tolerance") == []
    assert compare("share 0.00\n", "share 0.03\n", "tolerance") == []
    assert "2.5 for 2.0" in compare("loss 2.00\n", "loss 2.50\n", "tolerance")[0]
    assert "2 numbers" in compare("loss 2.00\n", "loss 2.00 1\n", "tolerance")[0]


def test_other_cells_and_other_outputs_are_left_alone():
    assert compare("a\n", "b\n") == []
    outputs = [(printed("10%\n", "stderr"),), (picture({}),)]
    before, after = (notebook(executed("3", 1, *output, tags=("deterministic",))) for output in outputs)
    assert list(differences(before, after)) == []

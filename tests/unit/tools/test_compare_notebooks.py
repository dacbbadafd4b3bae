"""What counts as the same output."""

from __future__ import annotations

import pytest
from compare_notebooks import differences
from nbformat.v4 import new_output
from notebook_samples import executed, notebook, picture, printed


def compare(before, after, *tags):
    return list(differences(*(notebook(executed("f()", 1, printed(text), tags=tags)) for text in (before, after))))


def result(text):
    return new_output("execute_result", {"text/plain": text}, execution_count=1)


@pytest.mark.parametrize("tag", ["deterministic", "nbval-check-output"])
def test_texts_must_be_the_same(tag):
    assert compare("a 1\n", "a 1\n", tag) == []
    (difference,) = compare("a 1\nb\n", "a 2\nb\n", tag)
    assert "cell [1]" in difference and "-a 1" in difference and "+a 2" in difference


def test_numbers_may_differ_a_little():
    assert compare("loss 2.00 nats\n", "loss 2.30 nats, say\n", "tolerance") == []
    assert compare("share 0.00\n", "share 0.03\n", "tolerance") == []
    assert "2.5 for 2.0" in compare("loss 2.00\n", "loss 2.50\n", "tolerance")[0]
    assert "2 numbers" in compare("loss 2.00\n", "loss 2.00 1\n", "tolerance")[0]


def test_other_cells_and_other_outputs_are_left_alone():
    assert compare("a\n", "b\n") == []
    before = notebook(executed("3", 1, result("3"), printed("10%\n", "stderr"), tags=("deterministic",)))
    after = notebook(executed("3", 1, result("3"), picture({}), tags=("deterministic",)))
    assert list(differences(before, after)) == []
    after.cells[0].outputs[0] = result("4")
    assert len(list(differences(before, after))) == 1

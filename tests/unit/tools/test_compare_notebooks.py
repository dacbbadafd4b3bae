"""What counts as the same output."""

import pytest
from compare_notebooks import differences
from notebook_samples import executed, notebook, picture, printed


@pytest.mark.parametrize(("tag", "before", "after", "told"), [
    ("deterministic", "a 1\n", "a 1\n", []), ("deterministic", "a 1\nb\n", "a 2\nb\n", ["cell [1]", "- a 1", "+ a 2"]),
    ("nbval-check-output", "a 1\nb\n", "a 2\nb\n", ["- a 1", "+ a 2"]), ("hide-input", "a\n", "b\n", []),
    ("tolerance", "loss 2.00 nats\n", "loss 2.30 nats, say\n", []), ("tolerance", "0.00\n", "0.03\n", []),
    ("tolerance", "loss 2.00\n", "loss 2.50\n", ["2.5 for 2.0"]), ("tolerance", "2.00\n", "2.00 1\n", ["2 numbers"]),
])  # fmt: skip
def test_texts_must_be_the_same_and_numbers_about_the_same_where_a_tag_says_so(tag, before, after, told):
    found = list(differences(*(notebook(executed("f()", 1, printed(text), tags=[tag])) for text in (before, after))))
    assert len(found) == bool(told) and all(part in difference for difference in found for part in told)


def test_pictures_and_what_is_printed_to_stderr_are_left_alone():
    outputs = [(printed("10%\n", "stderr"),), (picture({}),)]
    before, after = (notebook(executed("3", 1, *output, tags=("deterministic",))) for output in outputs)
    assert list(differences(before, after)) == []

"""Threads work a little ahead, in order, and their errors arrive."""

import pytest

from say_what_you_see.core.prefetch import prefetch


def test_results_come_in_order_and_few_items_are_taken_ahead():
    taken = []
    results = prefetch(lambda item: item * item, (taken.append(item) or item for item in range(20)), ahead=3)
    for number, result in enumerate(results):
        assert result == number**2 and len(taken) <= number + 4
    assert number == 19


def test_errors_are_passed_on_and_nothing_gives_nothing():
    assert list(prefetch(str, [])) == []
    with pytest.raises(ZeroDivisionError):
        list(prefetch(lambda item: 1 / item, [1, 0, 1]))

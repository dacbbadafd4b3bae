"""Memory that was freed is used again."""

import platform

import pytest

PROGRAM = """
import resource
import numpy as np
from say_what_you_see.core.memory import keep_freed_memory

def new_pages(arrays: int = 50) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(arrays):
        np.ones(1 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = new_pages()
keep_freed_memory()
new_pages(1)
print(before, new_pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives freed memory back at once")
def test_arrays_of_the_same_size_take_the_memory_of_those_before(run_python):
    before, kept = map(int, run_python(PROGRAM).stdout.split())
    assert before > 50 and kept < before / 10

"""A process in which one contender works: it does a repetition for each line that it is sent, and answers with a line.

Its standard output belongs to the answers; what contenders print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict

from benchmarks.memory import peak_mb
from benchmarks.stage import find_function


def main(prepare: str, work_file: str) -> None:
    """Serve until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with open(work_file, encoding="utf-8") as file:
        work = json.load(file)
    repetition = find_function(prepare)(work)
    _answer(answers, {"ready": True})
    for _ in sys.stdin:
        sample = asdict(repetition())
        sample["facts"] = {"peak memory (MB)": round(peak_mb()), **sample["facts"]}
        _answer(answers, sample)


def _answer(answers, content: dict) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])

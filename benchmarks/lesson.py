"""The benchmark's stages inside a notebook: the same contenders on the same work, in the notebook's own process."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.__main__ import all_stages
from benchmarks.report import number
from benchmarks.stage import Repetition
from say_what_you_see.core.files import read_json
from say_what_you_see.core.settings import REPOSITORY, Settings

RECORD = REPOSITORY / "benchmarks" / "record" / "benchmark.json"  # found where the course is developed


def prepare_contenders(settings: Settings, stage_name: str, keys: Sequence[str]) -> dict[str, Repetition]:
    """Some contenders of a stage by their titles, each ready to do a repetition; small settings make small work."""
    stage = all_stages()[stage_name]
    folder = settings.work_folder / "speed" / stage_name
    folder.mkdir(parents=True, exist_ok=True)
    work = stage.make_work(folder, settings.size == "small")
    contenders = {contender.key: contender for contender in stage.contenders}
    return {contenders[key].title: contenders[key].prepare(work) for key in keys}


def record_table(path: Path = RECORD) -> str:
    """What the benchmark found, as lines of text: for each stage the course and its best peer."""
    record = read_json(path)
    about = "{date}, {processor}, {cores} cores, medians\n".format_map(record["machine"])
    return "\n".join([about, *map(_line, record["stages"])])


def _line(stage: dict[str, Any]) -> str:
    """A stage in a line or two: its figure, and that of the best peer."""
    found = [contender for contender in stage["contenders"] if "median" in contender]
    best = max if stage["unit"].endswith("/s") else min  # a rate, or a duration or size
    own = next(contender for contender in found if contender["role"] == "course")
    text = f"{stage['title']}\n    {number(own['median'])} {stage['unit']}"
    if peers := [contender for contender in found if contender["role"] == "peer"]:
        peer = best(peers, key=lambda contender: contender["median"])
        ratio = median(mine / theirs for mine, theirs in zip(own["figures"], peer["figures"], strict=True))
        text += f"; best peer {number(peer['median'])}, {peer['title']}; {ratio:.2f} times that"
    return text

"""Runs the benchmark: `python -m benchmarks [STAGE ...]`."""

import argparse
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.report import describe, table, write_report
from benchmarks.runner import run_stage
from benchmarks.stage import Stage
from say_what_you_see.commands.options import count
from say_what_you_see.core.files import read_json

_MODULES = ("extraction", "decoder_training", "decoding", "preparing", "first_caption", "folder")


def all_stages() -> dict[str, Stage]:
    """The stages by name, in the order in which they run."""
    stages = [stage for name in _MODULES for stage in import_module(f"benchmarks.stages.{name}").STAGES]
    return {stage.name: stage for stage in stages}


def main(arguments: list[str] | None = None) -> int:
    """Run the chosen stages; return the exit status, which is 1 if contenders disagree."""
    stages = all_stages()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Time each part of the course beside what people would use instead."
    )
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"some of: {', '.join(stages)}; default: all")
    parser.add_argument("--repetitions", type=count, default=5, metavar="N", help="rounds, whose medians are taken")
    parser.add_argument("--small", action="store_true", help="a few seconds of work: to see that it runs, not how fast")
    parser.add_argument(
        "--output", type=Path, default=Path("build/bench"), metavar="FOLDER",
        help="default: build/bench; a record there keeps its other stages",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if unknown := set(options.stages) - set(stages):
        parser.error(f"there is no stage {', '.join(unknown)}; the stages are {', '.join(stages)}")
    machine = describe_machine()
    print(describe(machine) + "\n", flush=True)
    record = options.output / "benchmark.json"
    found = {stage["name"]: stage for stage in (read_json(record)["stages"] if record.exists() else ())}
    for name in options.stages or stages:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = run_stage(stages[name], Path(folder), options.repetitions, options.small)
        print(table(found[name]) + "\n", flush=True)
        write_report(machine, list(found.values()), options.output)
    print(f"Written to {options.output}: benchmark.md, benchmark.json")
    return int(any(stage["disagree"] for stage in found.values()))


if __name__ == "__main__":
    sys.exit(main())

"""Runs the benchmark: `python -m benchmarks [STAGE ...]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.report import describe, read_record, table, write_report
from benchmarks.runner import run_stage
from benchmarks.stage import Stage
from say_what_you_see.commands.options import count
from say_what_you_see.core.errors import CourseError

_MODULES = (
    "extraction",
    "decoder_training",
    "decoding",
    "preparing",
    "first_caption",
    "training_memory",
    "two_processes",
)


def all_stages() -> dict[str, Stage]:
    """The stages by name, in the order in which they are run."""
    stages = [stage for name in _MODULES for stage in import_module(f"benchmarks.stages.{name}").STAGES]
    return {stage.name: stage for stage in stages}


def main(arguments: list[str] | None = None) -> int:
    """Run the stages that were asked for; returns the exit status, 1 where contenders disagree."""
    stages = all_stages()
    options = _parser(list(stages)).parse_args(arguments)
    unknown = [name for name in options.stages if name not in stages]
    if unknown:
        print(f"Error: there is no stage {unknown[0]!r}; known: {', '.join(stages)}.", file=sys.stderr)
        return 2
    machine = describe_machine()
    print(describe(machine) + "\n", flush=True)
    results = {result.stage.name: result for result in read_record(options.output / "benchmark.json", stages)}
    done = []
    try:
        for name in options.stages or stages:
            with tempfile.TemporaryDirectory() as folder:
                results[name] = run_stage(stages[name], Path(folder), options.repetitions, options.small)
            done.append(name)
            print(table(results[name]) + "\n", flush=True)
            write_report(machine, [results[each] for each in stages if each in results], options.output)
    except CourseError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nStopped. Stages that were finished: {', '.join(done) or 'none'}.", file=sys.stderr)
        return 130
    print(f"Written to {options.output}: benchmark.md, benchmark.png, benchmark.json")
    return 1 if any(result.disagreements() for result in results.values()) else 0


def _parser(names: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Each part of the course beside what people would use instead."
    )
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"some of: {', '.join(names)}; default: all")
    parser.add_argument("--repetitions", type=count, default=5, metavar="N", help="rounds, of which medians are taken")
    parser.add_argument("--small", action="store_true", help="seconds of work: to see whether all runs, not how fast")
    parser.add_argument(
        "--output", type=Path, default=Path("build/bench"), metavar="FOLDER",
        help="default: build/bench; other stages that are in a record there stay in it",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())

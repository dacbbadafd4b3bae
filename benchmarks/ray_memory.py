"""Memory of `say-what-you-see embed --engine ray` over time, for 1,000 to 100,000 pictures.

`python -m benchmarks.ray_memory` draws the pictures (32 x 32 JPEGs in tar shards), embeds them with a tiny encoder,
each number of them in a run of its own, and adds up every half second what the processes of the run hold in memory: the
one that was started, the readers and workers, Ray's own, and the object store apart. Pages that several processes
share are counted once (proportional set size). Leaves build/bench/ray_memory.json and .png.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from say_what_you_see.core.files import write_json
from say_what_you_see.core.progress import progress
from say_what_you_see.core.settings import REPOSITORY

COUNTS = (1000, 10_000, 100_000)
TAR_PICTURES = 250  # so that the smallest run has as many readers at work as the largest
SIDE = 32
_INTERVAL = 0.5  # seconds
_KINDS = ("driver", "workers", "Ray", "object store")


def draw_shards(folder: Path, count: int) -> list[Path]:
    """Tars of small pictures, all different."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(count)
    paths = []
    for first in progress(range(0, count, TAR_PICTURES), description=f"Drawing {count}"):
        paths.append(folder / f"{first:07d}.tar")
        with tarfile.open(paths[-1], "w") as tar:
            for index in range(first, min(first + TAR_PICTURES, count)):
                buffer = io.BytesIO()
                small = Image.fromarray(rng.integers(256, size=(8, 8, 3), dtype="uint8"))
                small.resize((SIDE, SIDE)).save(buffer, "JPEG")
                info = tarfile.TarInfo(f"{index:07d}.jpg")
                info.size = buffer.tell()
                buffer.seek(0)
                tar.addfile(info, buffer)
    return paths


def write_encoder(path: Path, features: int) -> None:
    """An encoder of hardly any work, with as many features as InceptionV3."""
    from say_what_you_see.core.backend import keras

    pictures = keras.layers.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(features, 8, strides=8)(pictures)
    keras.Model(pictures, keras.layers.GlobalAveragePooling2D()(x), name="tiny").save(path)


def measure(sources: Path, encoder: Path, output: Path, batch_size: int) -> dict:
    """Embed pictures, watching memory; returns seconds, pictures and samples (seconds, then bytes by kind)."""
    command = [sys.executable, "-m", "say_what_you_see", "embed", "--engine", "ray", "--encoder", str(encoder),
               "--input", str(sources), "--output", str(output), "--batch-size", str(batch_size)]  # fmt: skip
    environ = {**os.environ, "COURSE_PROGRESS": "off"}
    started, samples, first_shard = time.perf_counter(), [], None
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environ, stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            samples.append([time.perf_counter() - started, *_memory(process.pid)])
            if first_shard is None and any(output.glob("*.npy")):
                first_shard = samples[-1][0]
            time.sleep(_INTERVAL)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    seconds = time.perf_counter() - started
    rows = json.loads((output / "manifest.json").read_text())["rows"]
    return {"pictures": rows, "seconds": seconds, "first_shard_seconds": first_shard, "samples": samples}


def _memory(pid: int) -> list[int]:
    """Bytes of the driver, of readers and workers, of Ray's own processes, and of the object store."""
    import psutil

    totals = dict.fromkeys(_KINDS, 0)
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return list(totals.values())
    for process in processes:
        try:
            title, info = " ".join(process.cmdline()), process.memory_full_info()
            store = _store_bytes(process.pid)
        except (psutil.Error, OSError):  # ended meanwhile
            continue
        kind = "driver" if process.pid == pid else "workers" if title.startswith("ray::") else "Ray"
        totals[kind] += info.pss - store
        totals["object store"] += store
    return list(totals.values())


def _store_bytes(pid: int) -> int:
    """What of a process's memory is mapped from the object store, which lies in /dev/shm."""
    total, inside = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        first = line.split(maxsplit=1)[0]
        if not first.endswith(":"):
            inside = "/dev/shm/" in line
        elif inside and first == "Pss:":
            total += int(line.split()[1]) * 1024
    return total


def plot(results: list[dict], path: Path) -> None:
    """Memory over time, a line for each number of pictures, and the most of each kind."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5))
    for result in results:
        samples = np.array(result["samples"])
        left.plot(samples[:, 0], samples[:, 1:].sum(1) / 1e9, label=f"{result['pictures']:,} pictures")
    left.set(xlabel="seconds", ylabel="GB of all processes", title="Memory over time", ylim=(0, None))
    left.legend()
    most = np.array([np.array(result["samples"])[:, 1:].max(0) / 1e9 for result in results])
    bottom = np.zeros(len(results))
    for kind, values in zip(_KINDS, most.T, strict=True):
        right.bar([f"{result['pictures']:,}" for result in results], values, bottom=bottom, label=kind)
        bottom += values
    right.set(xlabel="pictures", ylabel="GB", title="The most that each kind of process held")
    right.legend()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main(arguments: list[str] | None = None) -> None:
    """Measure, and leave the numbers and a plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "bench")
    options = parser.parse_args(arguments)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        encoder = Path(folder) / "tiny.keras"
        write_encoder(encoder, options.features)
        for count in options.counts:
            sources = Path(folder) / f"pictures_{count}"
            draw_shards(sources, count)
            results.append(measure(sources, encoder, Path(folder) / f"out_{count}", options.batch_size))
            print(summary(results[-1]), flush=True)
            write_json({"results": results, "kinds": ["seconds", *_KINDS]}, options.output / "ray_memory.json")
            plot(results, options.output / "ray_memory.png")


def summary(result: dict) -> str:
    """A line about a run."""
    samples = np.array(result["samples"])[:, 1:] / 1e6
    kinds = ", ".join(f"{kind} {value:.0f}" for kind, value in zip(_KINDS, samples.max(0), strict=True))
    rest = result["seconds"] - (result["first_shard_seconds"] or 0)
    return (
        f"{result['pictures']:,} pictures: {result['seconds']:.0f} s, of which {rest:.0f} s after the first shard; "
        f"at most {samples.sum(1).max():.0f} MB at once ({kinds})"
    )


if __name__ == "__main__":
    main()

"""Several processes of one training on this machine: to try out what runs on several machines."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from say_what_you_see.core.errors import CourseError
from say_what_you_see.training.scale.devices import format_tf_config


def run_workers(
    command: Sequence[str], workers: int = 2, timeout: float = 600, environ: Mapping[str, str] = os.environ
) -> list[str]:
    """Run the same command as several workers that know of each other by TF_CONFIG, and wait until all are done.

    Args:
        command: program and arguments.
        workers: number of processes.
        timeout: seconds after which they are stopped.
        environ: their environment, without TF_CONFIG.

    Returns:
        What each of them wrote to standard output.

    Raises:
        CourseError: if one of them fails or if time is up; the others are stopped, and the message has the last
            lines of each.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    with tempfile.TemporaryDirectory(prefix="workers_") as folder, ExitStack() as stack:
        outputs = [(Path(folder) / f"{index}.out", Path(folder) / f"{index}.err") for index in range(workers)]
        processes = []
        for index, (out, err) in enumerate(outputs):  # into files: a pipe that nobody reads would fill up
            streams = [stack.enter_context(open(path, "wb")) for path in (out, err)]
            settings = {**environ, "TF_CONFIG": format_tf_config(addresses, index)}
            processes.append(subprocess.Popen(command, stdout=streams[0], stderr=streams[1], env=settings))
            stack.callback(_stop, processes[-1])
        ended = _wait(processes, timeout)
        texts = [(out.read_text(errors="replace"), err.read_text(errors="replace")) for out, err in outputs]
    if not ended or any(process.returncode for process in processes):
        lines = [f"worker {index}: {_last_lines(out + err)}" for index, (out, err) in enumerate(texts)]
        what = "One of the workers failed" if ended else f"The workers did not finish within {timeout:.0f} seconds"
        raise CourseError("\n".join([f"{what}. Their last lines:", *lines]))
    return [out for out, _ in texts]


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait(processes: Sequence[subprocess.Popen], timeout: float) -> bool:
    """Wait until all processes are done or one has failed; False when time was up before."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        statuses = [process.poll() for process in processes]
        if all(status == 0 for status in statuses) or any(statuses):
            return True
        time.sleep(0.1)
    return False


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()


def _last_lines(text: str, count: int = 5) -> str:
    return "\n    ".join(text.strip().splitlines()[-count:]) or "(nothing)"

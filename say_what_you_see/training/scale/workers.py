"""Runs one training as several processes on this machine, to try out what otherwise runs on several machines."""

import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from say_what_you_see.core.errors import CourseError


def run_workers(
    command: Sequence[str], workers: int = 2, timeout: float = 600, environ: Mapping[str, str] = os.environ
) -> list[str]:
    """Run the same command as several workers that know of each other by TF_CONFIG, and wait for all of them.

    Args:
        environ: their environment, without TF_CONFIG.

    Returns:
        What each of them wrote to standard output.

    Raises:
        CourseError: if one of them fails, or after `timeout` seconds; the others are stopped, and the message quotes
            the last lines of each.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    with tempfile.TemporaryDirectory(prefix="workers_") as folder, ExitStack() as stack:
        outputs = [(Path(folder) / f"{index}.out", Path(folder) / f"{index}.err") for index in range(workers)]
        processes = []
        for index, paths in enumerate(outputs):  # to files: a pipe that nobody reads would fill up
            stdout, stderr = (stack.enter_context(open(path, "wb")) for path in paths)
            config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            env = {**environ, "TF_CONFIG": json.dumps(config)}
            processes.append(subprocess.Popen(command, stdout=stdout, stderr=stderr, env=env))
            stack.callback(processes[-1].wait)
            stack.callback(processes[-1].kill)  # which does nothing to one that has ended
        statuses: list[int | None] = [None]
        end = time.monotonic() + timeout
        while None in statuses and not any(statuses) and time.monotonic() < end:
            time.sleep(0.1)
            statuses = [process.poll() for process in processes]
        texts = [[path.read_text(errors="replace") for path in paths] for paths in outputs]
    if all(status == 0 for status in statuses):
        return [stdout for stdout, _ in texts]
    what = "One of the workers failed" if any(statuses) else f"The workers did not finish within {timeout:.0f} seconds"
    last_lines = ["\n    ".join("".join(text).strip().splitlines()[-5:]) or "(nothing)" for text in texts]
    lines = [f"worker {index}: {text}" for index, text in enumerate(last_lines)]
    raise CourseError("\n".join([f"{what}. Their last lines:", *lines]))


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]

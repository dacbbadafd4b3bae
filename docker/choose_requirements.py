"""Chooses TensorFlow's build for an image: `python choose_requirements.py cpu|gpu < requirements.txt`."""

from __future__ import annotations

import sys


def choose_requirements(text: str, device: str) -> str:
    """Return the requirements for a device.

    Args:
        text: requirements.txt.
        device: "cpu" leaves the text as it is; "gpu" adds CUDA's libraries to TensorFlow, with the same version range.

    Raises:
        SystemExit: the device is neither, or there is no TensorFlow in the text.
    """
    if device == "cpu":
        return text
    if device != "gpu":
        sys.exit(f"DEVICE is {device!r}, but an image is for cpu or gpu.")
    lines = text.splitlines()
    builds = [line for line in lines if line.startswith(("tensorflow>", "tensorflow-cpu>"))]
    if not builds:
        sys.exit("There is no TensorFlow in requirements.txt.")
    versions = builds[0].partition(";")[0].lstrip("-abcdefghijklmnopqrstuvwxyz").strip()
    kept = [line for line in lines if line not in builds]
    return "\n".join([f"tensorflow[and-cuda]{versions}", *kept]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(choose_requirements(sys.stdin.read(), sys.argv[1]))

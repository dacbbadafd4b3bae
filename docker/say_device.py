"""Says when the container starts what TensorFlow runs on, and what to do if a GPU should be visible but is not."""

from __future__ import annotations

import os
import shutil

import tensorflow as tf

_NO_DRIVER = """\
This is the image for GPUs, but none is visible: training will run on the CPU.
  1. `nvidia-smi` must work on the computer itself: if not, install NVIDIA's driver.
  2. Docker must be told about it: install the NVIDIA Container Toolkit, then
     `sudo nvidia-ctk runtime configure --runtime=docker` and restart Docker.
  3. Start with `--profile gpu`. The section "No GPU" of docker/README.md says more."""

_NOT_LOADED = """\
The NVIDIA driver is in the container, but TensorFlow does not find a GPU: training will run on the CPU.
The driver may be too old for TensorFlow {version}. The section "No GPU" of docker/README.md says how to see why."""


def describe_device(image: str, gpus: list[str], has_driver: bool, version: str) -> str:
    """Return what to tell the learner.

    Args:
        image: what the image was built for, "cpu" or "gpu".
        gpus: names of the GPUs that TensorFlow sees.
        has_driver: whether NVIDIA's driver is in the container.
        version: TensorFlow's version.
    """
    if gpus:
        return f"GPU: {', '.join(gpus)}, seen by TensorFlow {version}."
    if image != "gpu":
        return f"CPU: TensorFlow {version} works. This image uses no GPU; for one, start with `--profile gpu`."
    return _NOT_LOADED.format(version=version) if has_driver else _NO_DRIVER


def gpu_names() -> list[str]:
    """The product names of the GPUs that TensorFlow sees."""
    devices = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(device) for device in devices]
    return [found.get("device_name", device.name) for found, device in zip(details, devices, strict=True)]


if __name__ == "__main__":
    has_driver = shutil.which("nvidia-smi") is not None
    print(describe_device(os.environ.get("COURSE_DEVICE", "cpu"), gpu_names(), has_driver, tf.__version__), flush=True)

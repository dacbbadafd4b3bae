"""A new process until its first caption, as someone in a terminal waits for it; the file cache is warm."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from benchmarks.stage import Contender, Repetition, Sample, Stage
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path
from say_what_you_see.core.settings import REPOSITORY, SHIPPED
from say_what_you_see.data.scenes.drawing import draw_crop
from say_what_you_see.data.scenes.scene import invent_scene

MODEL = SHIPPED / "scene_model"
SIDE = 299
"""Pictures have the encoder's size, so that it does not matter how others are cropped and resized."""

_CAPTION = ("-m", "say_what_you_see", "caption", "--json", "--model", "scenes")
_CHOICES = ("DATASET", "ENCODER", "COURSE_SIZE", "COURSE_SEED", "COURSE_SPLIT", "COURSE_MIRROR")


def make_work(folder: Path, small: bool) -> dict:
    """A drawn picture; the model is the one that comes with the course."""
    picture = folder / "picture.png"
    Image.fromarray(draw_crop(invent_scene("val", 0))).resize((SIDE, SIDE)).save(picture)
    return {"folder": str(folder.resolve()), "picture": str(picture.resolve())}


def with_keras(work: dict) -> Repetition:
    """`say-what-you-see caption --with-keras`: as when a model captions for the first time."""
    return lambda: run([*_CAPTION, "--with-keras", work["picture"]], work, caption_in_json)


def exported(work: dict) -> Repetition:
    """The same command with the quick copy, which a first call has made."""
    command = [*_CAPTION, work["picture"]]
    run(command, work, caption_in_json)
    return lambda: run(command, work, caption_in_json)


def plain_tensorflow(work: dict) -> Repetition:
    """A script with TensorFlow and Keras alone, for the same models."""
    encoder = Path(work["folder"]) / "encoder.keras"
    if not encoder.exists():
        run(["-c", f"from {__name__} import write_encoder; write_encoder({str(encoder)!r})"], work, str)
    command = ["-m", "benchmarks.peers.plain_tensorflow", str(encoder), str(MODEL / "decoder.keras")]
    return lambda: run([*command, str(MODEL / "vocabulary.json"), work["picture"]], work, str.strip)


def write_encoder(path: str) -> None:
    """Save the encoder of the scenes with Keras."""
    from say_what_you_see.core.settings import read_settings
    from say_what_you_see.vision.encoders import encoder_for

    with atomic_path(path) as partial:
        encoder_for(read_settings({})).model.save(partial)


def caption_in_json(output: str) -> str:
    """The caption of the only picture in what `caption --json` prints."""
    (picture,) = json.loads(output)["pictures"]
    return picture["caption"]


def run(arguments: Sequence[str], work: dict, read: Callable[[str], str]) -> Sample:
    """Run Python with these arguments in a process of its own; with the seconds of the processors that it took.

    Args:
        read: finds what all contenders must agree on in what the process prints.

    Raises:
        CourseError: with its last words, if it fails.
    """
    environ = {name: value for name, value in os.environ.items() if name not in _CHOICES}
    environ |= {"COURSE_DATA": work["folder"], "COURSE_PROGRESS": "off", "TF_CPP_MIN_LOG_LEVEL": "3"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise CourseError((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1])
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Sample(check=read(done.stdout), extra={"processor time (s)": processor})


STAGES = (
    Stage(
        name="first_caption",
        title="A new process until its first caption",
        unit="s",
        make_work=make_work,
        contenders=(
            Contender("keras", "the course: caption --with-keras", f"{__name__}:with_keras"),
            Contender("exported", "the course: caption, once exported", f"{__name__}:exported", needs=("openvino",)),
            Contender("plain", "TensorFlow: load_model, predict", f"{__name__}:plain_tensorflow", role="peer"),
        ),
    ),
)

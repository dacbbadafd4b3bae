"""A new process until its first caption, the wait of someone at a terminal; the file cache is warm."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from benchmarks.stage import Contender, Repetition, Sample, Stage
from say_what_you_see.core.settings import REPOSITORY, SHIPPED
from say_what_you_see.data.scenes.drawing import draw_crop
from say_what_you_see.data.scenes.scene import invent_scene

MODEL = SHIPPED / "scene_model"
SIDE = 299  # the encoder's size, so that it does not matter how others crop and resize
_CAPTION = ("-m", "say_what_you_see", "caption", "--json", "--model", "scenes")


def make_work(folder: Path, small: bool) -> dict:
    """A drawn picture; the model is the one that comes with the course."""
    picture = folder / "picture.png"
    Image.fromarray(draw_crop(invent_scene("val", 0))).resize((SIDE, SIDE)).save(picture)
    return {"folder": str(folder.resolve()), "picture": str(picture.resolve())}


def course(work: dict, engine: str) -> Repetition:
    """`say-what-you-see caption`: "keras", as when a model captions for the first time, or "exported", with the quick
    copy that the first call makes as the warm-up."""
    command = [*_CAPTION, *(["--with-keras"] if engine == "keras" else []), work["picture"]]
    return lambda: Sample(check=json.loads(run(command, work))["pictures"][0]["caption"])


def plain_tensorflow(work: dict) -> Repetition:
    """A script with only TensorFlow and Keras, on the same models."""
    from say_what_you_see.core.settings import read_settings
    from say_what_you_see.vision.encoders import encoder_for

    encoder = Path(work["folder"]) / "encoder.keras"
    encoder_for(read_settings({})).model.save(encoder)
    files = map(str, (encoder, MODEL / "decoder.keras", MODEL / "vocabulary.json", work["picture"]))
    command = ["-m", "benchmarks.peers.plain_tensorflow", *files]
    return lambda: Sample(check=run(command, work).strip())


def run(arguments: Sequence[str], work: dict) -> str:
    """Run Python with these arguments in its own process; returns what it prints."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("COURSE", "DATA", "ENCOD"))}
    environ |= {"COURSE_DATA": work["folder"], "COURSE_PROGRESS": "off", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.check_output([sys.executable, *arguments], cwd=REPOSITORY, env=environ, text=True)


_COURSE = f"{__name__}:course"
STAGES = (
    Stage("first_caption", "A new process until its first caption", "s", make_work, (
        Contender("keras", "the course: caption --with-keras", _COURSE, options={"engine": "keras"}),
        Contender("exported", "the course: caption, once exported", _COURSE, options={"engine": "exported"},
                  needs=("openvino",)),
        Contender("plain", "TensorFlow: load_model, predict", f"{__name__}:plain_tensorflow", "peer"),
    )),
)  # fmt: skip

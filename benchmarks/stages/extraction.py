"""Extraction: a zip of JPEGs of COCO's size in, InceptionV3's embeddings out; and bare networks, as the limit."""

import queue
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.stage import Contender, Repetition, Sample, Stage

PICTURES = 256  # how many are embedded in a repetition
SIZE, NOISE, QUALITY = (640, 480), 26, 90
"""Width and height, strength of the finest noise, and JPEG quality, which make about 145 kB a picture."""

_BATCH_SIZE, _CHECKED = 32, 8


def make_work(folder: Path, small: bool) -> dict:
    """Draw the zip; small work also gets a tiny encoder."""
    path = folder / "pictures.zip"
    write_zip(path, *((40, (64, 48)) if small else (PICTURES, SIZE)))
    encoder = write_small_encoder(folder / "small.keras") if small else "inception_v3"
    return {"folder": str(folder), "pictures": str(path), "encoder": encoder}


def write_zip(path: Path, count: int, size: tuple[int, int]) -> None:
    """Write a zip of pictures: overlaid patches of many sizes, which compress about as well as photographs do."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            with archive.open(f"pictures/{number:06d}.jpg", "w") as file:
                Image.fromarray(draw_picture(rng, size)).save(file, "JPEG", quality=QUALITY)


def draw_picture(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A picture of coloured patches, uint8 (height, width, 3)."""
    width, height = size
    picture = np.full((height, width, 3), 128, dtype="float32")
    for columns, strength in ((6, 70), (24, 40), (96, 25), (width, NOISE)):
        patches = rng.uniform(-1, 1, (3, max(2, columns * height // width), columns)).astype("float32")
        layers = [np.asarray(Image.fromarray(layer).resize(size, Image.Resampling.BICUBIC)) for layer in patches]
        picture += strength * np.stack(layers, axis=-1)
    return np.clip(picture, 0, 255).astype("uint8")


def write_small_encoder(path: Path) -> str:
    """Write an encoder of a few filters with random weights, for pictures of 24 x 24 pixels; returns its path."""
    from say_what_you_see.core.backend import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    steps = [layers.Input((24, 24, 3)), layers.Rescaling(1 / 255), layers.Conv2D(8, 5, strides=3, activation="relu")]
    keras.Sequential(steps).save(path)
    return str(path)


def _encoder(work: dict) -> Any:
    from say_what_you_see.core.settings import read_settings
    from say_what_you_see.vision.encoders import encoder_for

    return encoder_for(read_settings({"COURSE_DATA": work["folder"], "DATASET": "scenes", "ENCODER": work["encoder"]}))


def _extraction(apply: Callable[[], tuple[np.ndarray, list[str]]]) -> Repetition:
    """Repetitions of a function that embeds all pictures of a zip."""

    def repetition() -> Sample:
        embeddings, names = apply()
        return Sample(len(names), _check(embeddings))

    return repetition


def _check(embeddings: np.ndarray) -> list[float]:
    """The norms of the first embeddings."""
    return np.linalg.norm(np.asarray(embeddings[:_CHECKED], dtype="float64"), axis=1).tolist()


def course(work: dict, engine: str, precision: str = "float32") -> Repetition:
    """The course, writing to disk: with OpenVINO, for which the encoder is exported beforehand, or with Keras."""
    from say_what_you_see.vision import fast_encoder as fast
    from say_what_you_see.vision.extraction import apply_model

    encoder, store = replace(_encoder(work), precision=precision), Path(work["folder"]) / "embeddings.npy"
    model, batch_size = encoder.model, _BATCH_SIZE
    if engine == "openvino":
        fast.MIN_PICTURES = 0
        model = fast.FastEncoder(encoder, Path(work["folder"]), [work["pictures"]])
        batch_size = model.batch_size

    def apply() -> tuple[np.ndarray, list[str]]:
        store.unlink(missing_ok=True)
        return apply_model(
            work["pictures"], model, encoder.preprocess_for_model, encoder.input_shape, batch_size, store
        )

    return _extraction(apply)


def queue_threads(work: dict) -> Repetition:
    """As people often write it by hand: a thread reads the pictures into a queue, and batches go to Keras."""
    from say_what_you_see.vision.pictures import crop_and_preprocess, decode_image_from_buf

    encoder = _encoder(work)
    waiting: queue.Queue = queue.Queue(4 * _BATCH_SIZE)

    def read() -> None:
        with zipfile.ZipFile(work["pictures"]) as archive:
            for name in archive.namelist():
                picture = decode_image_from_buf(archive.read(name))
                waiting.put((crop_and_preprocess(picture, encoder.input_shape, encoder.preprocess_for_model), name))
        waiting.put(None)

    def apply() -> tuple[np.ndarray, list[str]]:
        threading.Thread(target=read, daemon=True).start()
        embeddings, names, items = [], [], iter(waiting.get, None)
        while batch := list(islice(items, _BATCH_SIZE)):
            embeddings.append(encoder.model.predict_on_batch(np.stack([picture for picture, _ in batch])))
            names += [name for _, name in batch]
        return np.concatenate(embeddings), names

    return _extraction(apply)


def bare(work: dict, engine: str) -> Repetition:
    """A network on a batch that was read before: no zip, no JPEG, nothing written.

    `engine` is "keras", or a precision for OpenVINO, which always has enough to do.
    """
    from say_what_you_see.data.archives import image_members
    from say_what_you_see.vision.pictures import read_pictures

    encoder = _encoder(work)
    predict = encoder.model.predict_on_batch if engine == "keras" else _openvino(work, encoder, engine)
    names = [Path(member.filename).name for member in image_members(work["pictures"])]
    pictures = read_pictures(work["pictures"], names[:_BATCH_SIZE], encoder.input_shape[0])
    batch, rounds = encoder.preprocess_for_model(np.stack(pictures).astype("float32")), len(names) // _BATCH_SIZE

    def repetition() -> Sample:
        embeddings = [np.asarray(rows) for rows in [predict(batch) for _ in range(rounds)]]
        return Sample(rounds * _BATCH_SIZE, _check(embeddings[0]))

    return repetition


def _openvino(work: dict, encoder: Any, precision: str) -> Callable[[np.ndarray], Any]:
    from say_what_you_see.vision import fast_encoder as fast
    from say_what_you_see.vision.openvino import ParallelNetwork

    folder = fast.export_folder(encoder, Path(work["folder"]))
    fast.load_or_export(encoder, folder)
    network = ParallelNetwork.exported(folder / fast.NETWORK_FILE, (*encoder.input_shape, 3), precision)
    return lambda batch: fast.FutureEmbeddings(network.submit(batch))


def in_bfloat16(work: dict, with_zip: bool) -> Repetition:
    """OpenVINO with 16-bit numbers, if the processor supports them; the embeddings' norms differ visibly."""
    exact = np.array((course(work, "openvino") if with_zip else bare(work, "float32"))().known())
    repetition = course(work, "openvino", "bfloat16") if with_zip else bare(work, "bfloat16")

    def compared() -> Sample:
        sample = repetition()
        off = np.abs(np.array(sample.known()) / exact - 1).max()
        return Sample(sample.amount, extra={"off by (1/1000)": 1000 * float(off)})

    return compared


_COURSE, _BARE, _BFLOAT16 = f"{__name__}:course", f"{__name__}:bare", f"{__name__}:in_bfloat16"
STAGES = (
    Stage("extraction", "Extraction: InceptionV3, 299 x 299, from a zip of JPEGs", "pictures/s", make_work, (
        Contender("course", "the course: apply_model with OpenVINO", _COURSE, options={"engine": "openvino"}),
        Contender("keras", "the course: apply_model with Keras", _COURSE, "backend", {"engine": "keras"}),
        Contender("queue", "a thread, a queue, Keras", f"{__name__}:queue_threads", "peer"),
        Contender("bare_keras", "Keras on TensorFlow, bare", _BARE, "limit", {"engine": "keras"}),
        Contender("bare_openvino", "OpenVINO, bare", _BARE, "limit", {"engine": "float32"}, ("openvino",)),
        Contender("course_bf16", "the course in bfloat16", _BFLOAT16, "backend", {"with_zip": True}, ("openvino",)),
        Contender("bf16", "OpenVINO in bfloat16, bare", _BFLOAT16, "limit", {"with_zip": False}, ("openvino",)),
    ), agreement=1e-3),
)  # fmt: skip

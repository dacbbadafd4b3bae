"""Train the InceptionV3 that ships with the course to recognise drawn things.

    python -m tools.train_scene_encoder

In three phases: crops of 139 pixels, which are cheap, teach what things look like; whole scenes of
299 pixels teach where things are; then the feature maps of the lower blocks are computed once and
the upper blocks alone go on learning from them, many times over. Scenes come from the training
split, so no colour-and-thing pair of `UNSEEN_PAIRS` and no scene specification of the validation
split is ever shown. The defaults need about an hour and a half on 2 CPU cores and 11 GB of disk; after an
interruption the same command goes on from the last hundred steps.

The file that ships came from these phases with the numbers of steps below, while the script took its
final form: its first two phases asked the questions without standardising the embedding, and its
learning rates were set for somewhat longer phases. A new run gives weights of the same kind, not the
same bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
from PIL import Image

from say_what_you_see.core.backend import keras
from say_what_you_see.core.files import atomic_path
from say_what_you_see.core.progress import progress
from say_what_you_see.core.settings import REPOSITORY
from say_what_you_see.data.scenes.drawing import draw_crop
from say_what_you_see.data.scenes.scene import CROP_SIDE, Scene, invent_scene
from say_what_you_see.vision.encoders import SCENE_WEIGHTS
from tools.scene_targets import TARGET_NAMES, UNKNOWN, crop_targets, random_crop_corner, scene_targets

SCENE_SEED = 1_000
"""Scenes of another seed than the course's own: the encoder never sees its pictures."""

IMAGE_SIDE, CROP_INPUT = 299, 139
STEPS_PER_EPOCH = 100
LAST_FIXED = "mixed2"
"""The second phase leaves alone what is up to this block: edges and colours are known, and cost the most."""

LAST_FROZEN = "mixed7"
"""The third phase trains what is above this block only."""

MANTISSA_BITS = 3

Batch = tuple[np.ndarray, np.ndarray]


class Batches(keras.utils.PyDataset):
    """Random batches, each a function of the seed, the epoch and the step."""

    def __init__(self, examples: int, batch_size: int, seed: int) -> None:
        super().__init__(max_queue_size=4)
        self.examples, self.batch_size, self.seed, self.epoch = examples, batch_size, seed, 0

    def __len__(self) -> int:
        return STEPS_PER_EPOCH

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng([self.seed, self.epoch, step])
        return self.batch(rng.integers(self.examples, size=self.batch_size), rng)

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """The examples of these numbers."""
        raise NotImplementedError


class SceneBatches(Batches):
    """Batches of images in [-1, 1], whole scenes or crops of them, with their targets."""

    def __init__(self, images: np.ndarray, scenes: list[Scene], side: int, batch_size: int, seed: int) -> None:
        super().__init__(len(scenes), batch_size, seed)
        self.images, self.scenes, self.side = images, scenes, side

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """Crops at random places; of a whole scene, one pixel less than was drawn: it moves by one at most."""
        images, targets = zip(*(self._example(int(row), rng) for row in rows), strict=True)
        return np.stack(images).astype(np.float32) / 127.5 - 1, np.stack(targets)

    def _example(self, row: int, rng: np.random.Generator) -> Batch:
        scene = self.scenes[row]
        if self.side == IMAGE_SIDE:
            left, top = rng.integers(CROP_SIDE - IMAGE_SIDE + 1, size=2)
            targets = scene_targets(scene)
        else:
            left, top = random_crop_corner(scene, self.side, rng)
            targets = crop_targets(scene, left, top, self.side)
        return self.images[row, top : top + self.side, left : left + self.side], targets


class MapBatches(Batches):
    """Batches of feature maps with the targets of their scenes."""

    def __init__(self, maps: np.ndarray, targets: np.ndarray, batch_size: int, seed: int) -> None:
        super().__init__(len(maps), batch_size, seed)
        self.maps, self.targets = maps, targets

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> Batch:
        """The maps as float32."""
        return self.maps[rows].astype(np.float32), self.targets[rows]


def masked_binary_crossentropy(targets: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Cross-entropy of yes-or-no answers in nats, summed over the known targets of each picture: (pictures,)."""
    known = keras.ops.cast(keras.ops.not_equal(targets, UNKNOWN), "float32")
    surprise = keras.ops.log1p(keras.ops.exp(-keras.ops.abs(logits)))
    losses = keras.ops.maximum(logits, 0) - logits * targets + surprise
    return keras.ops.sum(losses * known, axis=-1)


def write_array(path: Path, shape: tuple[int, ...], dtype: type, parts: Iterable[np.ndarray]) -> np.ndarray:
    """A memory-mapped file that holds these parts below one another; one that is there is used as it is."""
    if not path.exists():
        with atomic_path(path) as partial:
            array, first = np.lib.format.open_memmap(partial, "w+", dtype, shape), 0
            for part in parts:
                array[first : first + len(part)] = part
                first += len(part)
            array.flush()
            del array  # Windows renames no file that is still mapped
    return np.load(path, mmap_mode="r")


def draw_scenes(scenes: list[Scene], path: Path) -> np.ndarray:
    """Draw the centre crops of scenes into a memory-mapped file: uint8, (scenes, 300, 300, 3)."""

    def drawn() -> Iterator[np.ndarray]:
        with ProcessPoolExecutor() as pool:
            images = pool.map(draw_crop, scenes, chunksize=64)
            for image in progress(images, total=len(scenes), description="drawing", unit="scene"):
                yield image[None]

    return write_array(path, (len(scenes), CROP_SIDE, CROP_SIDE, 3), np.uint8, drawn())


def compute_maps(encoder: keras.Model, images: np.ndarray, path: Path, batch_size: int = 40) -> np.ndarray:
    """Feature maps of the last frozen block for all images, float16, kept in a memory-mapped file."""
    lower = keras.Model(encoder.input, encoder.get_layer(LAST_FROZEN).output)

    def maps() -> Iterator[np.ndarray]:
        for first in progress(range(0, len(images), batch_size), description="feature maps", unit="batch"):
            batch = np.stack([resize(image) for image in images[first : first + batch_size]])
            yield lower.predict_on_batch(batch.astype(np.float32) / 127.5 - 1)

    return write_array(path, (len(images), *lower.output_shape[1:]), np.float16, maps())


def resize(image: np.ndarray) -> np.ndarray:
    """From the drawn size to the encoder's, as the course does it."""
    return np.asarray(Image.fromarray(image).resize((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BILINEAR))


def build_encoder(side: int) -> keras.Model:
    """InceptionV3 with random weights for pictures of this side: a picture to 2,048 numbers."""
    shape = (side, side, 3)
    encoder = keras.applications.InceptionV3(weights=None, include_top=False, input_shape=shape, pooling="avg")
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.95  # the usual 0.99 forgets too slowly for so few steps
    return encoder


def add_answers(embedding: keras.KerasTensor) -> keras.KerasTensor:
    """Weighted sums of the standardised embedding, one for each question: what the decoder will read it with."""
    standardised = keras.layers.BatchNormalization(momentum=0.95, scale=False, center=False, dtype="float32")(embedding)
    rarely = keras.initializers.Constant(-4)
    return keras.layers.Dense(len(TARGET_NAMES), dtype="float32", name="answers", bias_initializer=rarely)(standardised)


def train_phase(trainer: keras.Model, batches: Batches, learning_rate: float, folder: Path, epochs: int) -> None:
    """One phase: AdamW, cosine decay; after an interruption it goes on from the last hundred steps."""
    compile_trainer(trainer, learning_rate, STEPS_PER_EPOCH * epochs)
    checkpoints = keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
    trainer.fit(batches, callbacks=[checkpoints], epochs=epochs, shuffle=False, verbose=2)


def compile_trainer(trainer: keras.Model, learning_rate: float, steps: int, warm_up: int = 60) -> None:
    """Give a model its loss and its optimizer, whose learning rate rises for `warm_up` steps, then falls."""
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate * 0.05, steps - warm_up, alpha=0.01, warmup_target=learning_rate, warmup_steps=warm_up
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.02, clipnorm=5.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta"])
    trainer.compile(optimizer, masked_binary_crossentropy)
    optimizer.build(trainer.trainable_variables)


def save_weights(model: keras.Model, path: Path) -> None:
    """Save weights; the file appears under its name only when it is whole."""
    with atomic_path(path) as partial:
        model.save_weights(partial)


def round_mantissa(values: np.ndarray, bits: int) -> np.ndarray:
    """Round float values to float16 with so many bits of mantissa (1 to 4), which compresses well.

    The relative error is at most 2 ** -(bits + 1), except for values below 6e-5, which float16 itself holds coarsely.
    Values beyond float16's range (65,504) become infinite.
    """
    raw = values.astype(np.float16).view(np.uint16)
    drop = 10 - bits
    return ((raw + (1 << (drop - 1))) >> drop << drop).view(np.float16)


def write_small_weights(encoder: keras.Model, path: Path) -> None:
    """Save weights so that plain `load_weights` reads them and they are small.

    The kernels of convolutions are rounded, everything is shuffled by byte and compressed.
    """
    with TemporaryDirectory() as folder, atomic_path(path) as partial:
        whole = Path(folder) / "whole.weights.h5"
        encoder.save_weights(whole)
        with h5py.File(whole) as source, h5py.File(partial, "w") as target:
            target.attrs.update(source.attrs)
            source.visititems(lambda name, item: _copy_compressed(item, target, name))


def _copy_compressed(item: h5py.Group | h5py.Dataset, target: h5py.File, name: str) -> None:
    """Copy one group or array of a weights file into another file."""
    if isinstance(item, h5py.Group):
        copy = target.require_group(name)
    else:
        values = round_mantissa(item[()], MANTISSA_BITS) if item.ndim == 4 else item[()]
        options = {"compression": "gzip", "compression_opts": 9, "shuffle": True} if item.ndim else {}
        copy = target.create_dataset(name, data=values, **options)
    copy.attrs.update(item.attrs)


def build_parser() -> argparse.ArgumentParser:
    """The command line's parser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=20_000, help="how many scenes to draw for training")
    parser.add_argument("--crop-epochs", type=int, default=12, help="hundreds of steps on crops")
    parser.add_argument("--scene-epochs", type=int, default=3, help="hundreds of steps on whole scenes")
    parser.add_argument("--upper-epochs", type=int, default=8, help="hundreds of steps of the upper blocks alone")
    parser.add_argument("--maps", type=int, default=12_000, help="how many scenes the upper blocks learn from")
    parser.add_argument("--batch-size", type=int, default=32, help="pictures in one step, twice as many feature maps")
    parser.add_argument("--precision", default="mixed_bfloat16", help="Keras dtype policy")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "build" / "scene_encoder", help="for what is kept")
    parser.add_argument("--output", type=Path, default=SCENE_WEIGHTS, help="the weights file to write")
    return parser


def main() -> None:
    """Draw, train in three phases, and write the small weights."""
    options = build_parser().parse_args()
    keras.utils.set_random_seed(0)
    keras.mixed_precision.set_global_policy(options.precision)
    scenes = [invent_scene("train", index, SCENE_SEED) for index in range(options.scenes)]
    images = draw_scenes(scenes, options.work / f"pictures_{options.scenes}.npy")

    crop_weights = options.work / "crops.weights.h5"
    if not crop_weights.exists():
        encoder = build_encoder(CROP_INPUT)
        crops = SceneBatches(images, scenes, CROP_INPUT, options.batch_size, seed=1)
        trainer = keras.Model(encoder.input, add_answers(encoder.output))
        train_phase(trainer, crops, 2e-3, options.work / "crops", options.crop_epochs)
        save_weights(encoder, crop_weights)

    encoder = build_encoder(IMAGE_SIDE)
    encoder.load_weights(crop_weights)
    trainer = keras.Model(encoder.input, add_answers(encoder.output))
    for layer in encoder.layers[: 1 + encoder.layers.index(encoder.get_layer(LAST_FIXED))]:
        layer.trainable = False
    wholes = SceneBatches(images, scenes, IMAGE_SIDE, options.batch_size, seed=2)
    train_phase(trainer, wholes, 1e-3, options.work / "wholes", options.scene_epochs)

    maps = compute_maps(encoder, images[: options.maps], options.work / "maps.npy")
    targets = np.stack([scene_targets(scene) for scene in scenes[: options.maps]])
    upper = keras.Model(encoder.get_layer(LAST_FROZEN).output, add_answers(encoder.output))
    map_batches = MapBatches(maps, targets, 2 * options.batch_size, seed=3)
    train_phase(upper, map_batches, 2e-3, options.work / "upper", options.upper_epochs)
    write_small_weights(encoder, options.output)


if __name__ == "__main__":
    main()

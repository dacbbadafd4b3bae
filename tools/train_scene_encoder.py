"""Train the InceptionV3 that comes with the course to recognise drawn things: `python -m tools.train_scene_encoder`.

There are three phases: crops of 139 pixels, which are cheap, teach what things look like; whole scenes of 299 pixels
teach where things are; then the feature maps of the lower blocks are computed once, and the upper blocks alone are
trained on them for many more passes. Scenes come from the training split, so no colour-and-thing pair of `UNSEEN_PAIRS`
and no scene of the validation split is ever shown. It needs about an hour and a half on 2 CPU cores and 11 GB of disk;
after an interruption the same command goes on from the last hundred steps.

The shipped file was trained without standardising the embedding in the first two phases, and with learning rates for
somewhat longer phases. A new run gives weights of the same kind, but not the same bytes.
"""

from collections.abc import Callable, Iterable, Iterator
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

SCENES, SCENE_SEED = 20_000, 1_000  # not the course's own seed: the encoder never sees the course's pictures
WITH_MAPS = 12_000  # how many of them the upper blocks are trained on
IMAGE_SIDE, CROP_INPUT = 299, 139
BATCH_SIZE, STEPS_PER_EPOCH = 32, 100
CROP_EPOCHS, SCENE_EPOCHS, UPPER_EPOCHS = 12, 3, 8
WARM_UP = 60  # steps during which the learning rate rises before it falls
LAST_FIXED = "mixed2"  # the second phase does not train the blocks up to here: edges and colours, which cost the most
LAST_FROZEN = "mixed7"  # the third phase trains only the blocks above this one
MANTISSA_BITS = 3
WORK = REPOSITORY / "build" / "scene_encoder"

Batch = tuple[np.ndarray, np.ndarray]


class Batches(keras.utils.PyDataset):
    """Random batches, each determined by the seed, the epoch and the step; `example` makes an example of a row."""

    def __init__(
        self, rows: int, batch_size: int, seed: int, example: Callable[[int, np.random.Generator], Batch]
    ) -> None:
        super().__init__(max_queue_size=4)
        self.rows, self.batch_size, self.seed, self.example, self.epoch = rows, batch_size, seed, example, 0

    def __len__(self) -> int:
        return STEPS_PER_EPOCH

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng([self.seed, self.epoch, step])
        rows = rng.integers(self.rows, size=self.batch_size)
        inputs, targets = zip(*(self.example(row, rng) for row in rows), strict=True)
        return np.stack(inputs).astype(np.float32), np.stack(targets)


def scene_batches(images: np.ndarray, scenes: list[Scene], side: int, seed: int) -> Batches:
    """Batches of images in [-1, 1] with their targets: crops at random places, or whole scenes less one pixel."""

    def example(row: int, rng: np.random.Generator) -> Batch:
        if side == IMAGE_SIDE:
            left, top = rng.integers(CROP_SIDE - IMAGE_SIDE + 1, size=2)
            targets = scene_targets(scenes[row])
        else:
            left, top = random_crop_corner(scenes[row], side, rng)
            targets = crop_targets(scenes[row], left, top, side)
        return scaled(images[row, top : top + side, left : left + side]), targets

    return Batches(len(scenes), BATCH_SIZE, seed, example)


def scaled(pixels: np.ndarray) -> np.ndarray:
    """Pixels as InceptionV3 expects them, in [-1, 1]."""
    return pixels.astype(np.float32) / 127.5 - 1


def masked_binary_crossentropy(targets: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Cross-entropy of yes-or-no answers in nats, summed over the known targets of each picture: (pictures,)."""
    known = keras.ops.cast(keras.ops.not_equal(targets, UNKNOWN), "float32")
    return keras.ops.sum(keras.ops.binary_crossentropy(targets, logits, from_logits=True) * known, axis=-1)


def write_array(path: Path, shape: tuple[int, ...], dtype: type, rows: Iterable[np.ndarray]) -> np.ndarray:
    """A memory-mapped file with these rows; if there is one already, it is used as it is."""
    if not path.exists():
        with atomic_path(path) as partial:
            array = np.lib.format.open_memmap(partial, "w+", dtype, shape)
            for number, row in enumerate(rows):
                array[number] = row
            array.flush()
    return np.load(path, mmap_mode="r")


def draw_scenes(scenes: list[Scene]) -> np.ndarray:
    """The centre crops of scenes, in a memory-mapped file: uint8, (scenes, 300, 300, 3)."""

    def drawn() -> Iterator[np.ndarray]:
        with ProcessPoolExecutor() as pool:
            images = pool.map(draw_crop, scenes, chunksize=64)
            yield from progress(images, total=len(scenes), description="drawing", unit="scene")

    return write_array(WORK / "pictures.npy", (len(scenes), CROP_SIDE, CROP_SIDE, 3), np.uint8, drawn())


def compute_maps(encoder: keras.Model, images: np.ndarray) -> np.ndarray:
    """The last frozen block's feature maps for all images, float16, in a memory-mapped file."""
    lower = keras.Model(encoder.input, encoder.get_layer(LAST_FROZEN).output)

    def maps() -> Iterator[np.ndarray]:
        side = (IMAGE_SIDE, IMAGE_SIDE)
        for first in progress(range(0, len(images), BATCH_SIZE), description="feature maps", unit="batch"):
            batch = images[first : first + BATCH_SIZE]
            pictures = [Image.fromarray(image).resize(side, Image.Resampling.BILINEAR) for image in batch]
            yield from lower.predict_on_batch(scaled(np.stack(pictures)))

    return write_array(WORK / "maps.npy", (len(images), *lower.output_shape[1:]), np.float16, maps())


def build_encoder(side: int) -> keras.Model:
    """InceptionV3 with random weights for pictures of this side: from a picture to 2,048 numbers."""
    shape = (side, side, 3)
    encoder = keras.applications.InceptionV3(weights=None, include_top=False, input_shape=shape, pooling="avg")
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.95  # the usual 0.99 adapts too slowly in so few steps
    return encoder


def with_answers(first: keras.KerasTensor, embedding: keras.KerasTensor) -> keras.Model:
    """A model from an input to weighted sums of the standardised embedding (as decoders read it), one per question."""
    standardised = keras.layers.BatchNormalization(momentum=0.95, scale=False, center=False, dtype="float32")(embedding)
    rarely = keras.initializers.Constant(-4)
    answers = keras.layers.Dense(len(TARGET_NAMES), dtype="float32", name="answers", bias_initializer=rarely)
    return keras.Model(first, answers(standardised))


def train_phase(trainer: keras.Model, batches: Batches, learning_rate: float, folder: Path, epochs: int) -> None:
    """One phase: AdamW with cosine decay; after an interruption it resumes from the last hundred steps."""
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate * 0.05, STEPS_PER_EPOCH * epochs - WARM_UP, alpha=0.01, warmup_target=learning_rate,
        warmup_steps=WARM_UP,
    )  # fmt: skip
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.02, clipnorm=5.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta"])
    trainer.compile(optimizer, masked_binary_crossentropy)
    optimizer.build(trainer.trainable_variables)
    checkpoints = keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
    trainer.fit(batches, callbacks=[checkpoints], epochs=epochs, shuffle=False, verbose=2)


def round_mantissa(values: np.ndarray, bits: int) -> np.ndarray:
    """Round float values to float16 with this many bits of mantissa (1 to 4), which compresses well."""
    raw = values.astype(np.float16).view(np.uint16)
    drop = 10 - bits
    return ((raw + (1 << (drop - 1))) >> drop << drop).view(np.float16)


def write_small_weights(encoder: keras.Model, path: Path) -> None:
    """Save weights in a small file that plain `load_weights` can read.

    The kernels of convolutions are rounded; everything is shuffled by byte and compressed.
    """

    def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Group):
            made = target.require_group(name)
        else:
            values = round_mantissa(item[()], MANTISSA_BITS) if item.ndim == 4 else item[()]
            options = {"compression": "gzip", "compression_opts": 9, "shuffle": True} if item.ndim else {}
            made = target.create_dataset(name, data=values, **options)
        made.attrs.update(item.attrs)

    with TemporaryDirectory() as folder, atomic_path(path) as partial:
        whole = Path(folder) / "whole.weights.h5"
        encoder.save_weights(whole)
        with h5py.File(whole) as source, h5py.File(partial, "w") as target:
            target.attrs.update(source.attrs)
            source.visititems(copy)


def main() -> None:
    """Draw scenes, train in three phases, and write the small weights."""
    keras.utils.set_random_seed(0)
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    scenes = [invent_scene("train", index, SCENE_SEED) for index in range(SCENES)]
    images = draw_scenes(scenes)
    small = build_encoder(CROP_INPUT)
    trainer = with_answers(small.input, small.output)
    train_phase(trainer, scene_batches(images, scenes, CROP_INPUT, 1), 2e-3, WORK / "crops", CROP_EPOCHS)

    encoder = build_encoder(IMAGE_SIDE)
    encoder.set_weights(small.get_weights())
    keras.Model(encoder.input, encoder.get_layer(LAST_FIXED).output).trainable = False
    trainer = with_answers(encoder.input, encoder.output)
    train_phase(trainer, scene_batches(images, scenes, IMAGE_SIDE, 2), 1e-3, WORK / "wholes", SCENE_EPOCHS)

    maps = compute_maps(encoder, images[:WITH_MAPS])
    targets = np.stack([scene_targets(scene) for scene in scenes[:WITH_MAPS]])
    map_batches = Batches(WITH_MAPS, 2 * BATCH_SIZE, 3, lambda row, rng: (maps[row], targets[row]))
    upper = with_answers(encoder.get_layer(LAST_FROZEN).output, encoder.output)
    train_phase(upper, map_batches, 2e-3, WORK / "upper", UPPER_EPOCHS)
    write_small_weights(encoder, SCENE_WEIGHTS)


if __name__ == "__main__":
    main()

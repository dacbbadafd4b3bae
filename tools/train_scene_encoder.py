"""Train the InceptionV3 that ships with the course to recognise drawn things.

    python -m tools.train_scene_encoder

In three parts: crops of 139 pixels, which are cheap, teach what things look like; whole scenes of
299 pixels teach where things are; then the feature maps of the lower blocks are computed once and
the upper blocks alone go on learning from them, many times over. No colour-and-thing pair of `UNSEEN_PAIRS` and no
scene specification of the validation side is ever shown. Takes about an hour on 2 CPU cores, and
goes on from the last hundred steps after an interruption.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import ops
from PIL import Image
from tqdm import tqdm

from tools.scene_targets import TARGET_NAMES, UNKNOWN, crop_targets, random_crop_corner, scene_targets
from utils.scene_drawing import draw_crop
from utils.scenes import CROP_SIDE, Scene, invent_scene

SCENE_SEED = 1_000
"""Scenes of another seed than the course's own: the encoder never sees its pictures."""

IMAGE_SIDE, CROP_INPUT = 299, 139
STEPS_PER_EPOCH = 100
LAST_FROZEN = "mixed7"
MANTISSA_BITS = 3


class SceneBatches(keras.utils.PyDataset):
    """Batches of pictures in [-1, 1] with their targets; batch number i is a function of the seed and i."""

    def __init__(self, pictures: np.ndarray, scenes: list[Scene], side: int, batch_size: int, seed: int):
        super().__init__(max_queue_size=4)
        self.pictures, self.scenes, self.side = pictures, scenes, side
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0

    def __len__(self) -> int:
        return STEPS_PER_EPOCH

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([self.seed, self.epoch, step])
        rows = rng.integers(len(self.scenes), size=self.batch_size)
        batch, targets = zip(*(self._example(int(row), rng) for row in rows), strict=True)
        return np.stack(batch).astype(np.float32) / 127.5 - 1, np.stack(targets)

    def _example(self, row: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        scene = self.scenes[row]
        if self.side == IMAGE_SIDE:  # the missing pixel moves the picture by one at most
            left, top = rng.integers(2, size=2)
            targets = scene_targets(scene)
        else:
            left, top = random_crop_corner(scene, self.side, rng)
            targets = crop_targets(scene, left, top, self.side)
        return self.pictures[row, top : top + self.side, left : left + self.side], targets


def masked_binary_crossentropy(targets, logits):
    """Mean cross-entropy of yes-or-no answers over the targets that are known, summed per picture."""
    known = ops.cast(ops.not_equal(targets, UNKNOWN), "float32")
    losses = ops.maximum(logits, 0) - logits * targets + ops.log1p(ops.exp(-ops.abs(logits)))
    return ops.sum(losses * known, axis=-1)


def draw_pictures(scenes: list[Scene], path: Path) -> np.ndarray:
    """Draw the centre crops of scenes into a memory-mapped file: uint8, (scenes, 300, 300, 3)."""
    shape = (len(scenes), CROP_SIDE, CROP_SIDE, 3)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        pictures = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
        with ProcessPoolExecutor() as pool:
            for row, picture in enumerate(tqdm(pool.map(draw_crop, scenes, chunksize=64), total=len(scenes))):
                pictures[row] = picture
        pictures.flush()
        partial.rename(path)
    return np.load(path, mmap_mode="r")


def add_answers(embedding: keras.KerasTensor) -> keras.KerasTensor:
    """Weighted sums of the standardised embedding, one for each question: what the decoder will read it with."""
    standardised = keras.layers.BatchNormalization(momentum=0.95, scale=False, center=False, dtype="float32")(embedding)
    rarely = keras.initializers.Constant(-4)
    return keras.layers.Dense(len(TARGET_NAMES), dtype="float32", name="answers", bias_initializer=rarely)(standardised)


def build_trainer(side: int) -> tuple[keras.Model, keras.Model]:
    """The encoder (picture to 2,048 numbers) and the model that answers the questions with it."""
    encoder = keras.applications.InceptionV3(weights=None, include_top=False, input_shape=(side, side, 3), pooling="avg")
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.95  # the usual 0.99 forgets too slowly for so few steps
    return encoder, keras.Model(encoder.input, add_answers(encoder.output))


class MapBatches(keras.utils.PyDataset):
    """Random batches of feature maps with the targets of their scenes."""

    def __init__(self, maps: np.ndarray, targets: np.ndarray, batch_size: int, seed: int):
        super().__init__(max_queue_size=4)
        self.maps, self.targets, self.batch_size, self.seed, self.epoch = maps, targets, batch_size, seed, 0

    def __len__(self) -> int:
        return STEPS_PER_EPOCH

    def on_epoch_end(self) -> None:
        self.epoch += 1

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        rows = np.random.default_rng([self.seed, self.epoch, step]).integers(len(self.maps), size=self.batch_size)
        return self.maps[rows].astype(np.float32), self.targets[rows]


def compute_maps(encoder: keras.Model, pictures: np.ndarray, path: Path) -> np.ndarray:
    """Feature maps of the last frozen block for all pictures, float16, kept in a memory-mapped file."""
    lower = keras.Model(encoder.input, encoder.get_layer(LAST_FROZEN).output)
    if not path.exists():
        partial = path.with_suffix(".partial")
        shape = (len(pictures), *lower.output_shape[1:])
        maps = np.lib.format.open_memmap(partial, "w+", np.float16, shape)
        for first in tqdm(range(0, len(pictures), 40), desc="maps"):
            batch = np.stack([resize(picture) for picture in pictures[first : first + 40]])
            maps[first : first + 40] = lower.predict_on_batch(batch.astype(np.float32) / 127.5 - 1)
        maps.flush()
        partial.rename(path)
    return np.load(path, mmap_mode="r")


def resize(picture: np.ndarray) -> np.ndarray:
    """From the drawn size to the encoder's, as the course does it."""
    return np.asarray(Image.fromarray(picture).resize((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BILINEAR))


def train_upper_blocks(encoder: keras.Model, maps: np.ndarray, scenes: list[Scene], options: argparse.Namespace) -> None:
    """Train what is above the last frozen block on feature maps that are computed once."""
    upper = keras.Model(encoder.get_layer(LAST_FROZEN).output, add_answers(encoder.output))
    targets = np.stack([scene_targets(scene) for scene in scenes])
    batches = MapBatches(maps, targets, 2 * options.batch_size, seed=3)
    train_phase(upper, batches, 2e-3, options.work / "upper", options.upper_epochs)


def train_phase(trainer: keras.Model, batches: SceneBatches, learning_rate: float, folder: Path, epochs: int) -> None:
    """One phase: AdamW, cosine decay, a checkpoint every hundred steps from which it goes on."""
    warm_up = 60
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate * 0.05, STEPS_PER_EPOCH * epochs - warm_up, 0.01, warmup_target=learning_rate, warmup_steps=warm_up
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.02, clipnorm=5.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta"])
    trainer.compile(optimizer, masked_binary_crossentropy)
    optimizer.build(trainer.trainable_variables)
    folder.mkdir(parents=True, exist_ok=True)
    finished = sorted(folder.glob("epoch_*.weights.h5"))
    if finished:
        trainer.load_weights(finished[-1])
        batches.epoch = len(finished)
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: save_weights(trainer, folder / f"epoch_{epoch + 1:03d}.weights.h5")
    )
    trainer.fit(batches, initial_epoch=len(finished), epochs=epochs, callbacks=[keep], shuffle=False, verbose=2)


def save_weights(model: keras.Model, path: Path) -> None:
    """Save weights; the file appears under its name only when it is whole."""
    partial = path.with_name("partial.weights.h5")
    model.save_weights(partial)
    partial.rename(path)


def round_mantissa(values: np.ndarray, bits: int) -> np.ndarray:
    """Round float values to float16 with so many bits of mantissa, which compresses well."""
    raw = values.astype(np.float16).view(np.uint16)
    drop = 10 - bits
    rounded = (raw + (1 << (drop - 1))) >> drop << drop
    return rounded.astype(np.uint16).view(np.float16)


def write_small_weights(encoder: keras.Model, path: Path) -> None:
    """Save weights so that plain `load_weights` reads them and they are small: rounded, shuffled, compressed."""
    whole = path.with_name("whole.weights.h5")
    encoder.save_weights(whole)
    partial = path.with_name("partial.weights.h5")
    with h5py.File(whole) as source, h5py.File(partial, "w") as target:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                target.require_group(name).attrs.update(item.attrs)
            else:
                values = item[()]
                values = round_mantissa(values, MANTISSA_BITS) if values.ndim == 4 else values
                options = {"compression": "gzip", "compression_opts": 9, "shuffle": True} if values.ndim else {}
                target.create_dataset(name, data=values, **options).attrs.update(item.attrs)

        target.attrs.update(source.attrs)
        source.visititems(copy)
    whole.unlink()
    partial.rename(path)


def main() -> None:
    """Draw, train in two phases, and write the small weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=20_000, help="how many scenes to draw for training")
    parser.add_argument("--crop-epochs", type=int, default=12, help="hundreds of steps on crops")
    parser.add_argument("--scene-epochs", type=int, default=3, help="hundreds of steps on whole scenes")
    parser.add_argument("--upper-epochs", type=int, default=12, help="hundreds of steps of the upper blocks alone")
    parser.add_argument("--maps", type=int, default=12_000, help="how many scenes the upper blocks learn from")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--precision", default="mixed_bfloat16", help="Keras dtype policy")
    parser.add_argument("--work", type=Path, default=Path("build/scene_encoder"))
    parser.add_argument("--output", type=Path, default=Path("data/inception_v3_scenes.weights.h5"))
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    keras.mixed_precision.set_global_policy(options.precision)
    scenes = [invent_scene("train", index, SCENE_SEED) for index in range(options.scenes)]
    pictures = draw_pictures(scenes, options.work / f"pictures_{options.scenes}.npy")

    crop_weights = options.work / "crops.weights.h5"
    if not crop_weights.exists():
        crop_encoder, crop_trainer = build_trainer(CROP_INPUT)
        crops = SceneBatches(pictures, scenes, CROP_INPUT, options.batch_size, seed=1)
        train_phase(crop_trainer, crops, 2e-3, options.work / "crops", options.crop_epochs)
        save_weights(crop_encoder, crop_weights)

    encoder, trainer = build_trainer(IMAGE_SIDE)
    encoder.load_weights(crop_weights)
    for layer in encoder.layers[: 1 + encoder.layers.index(encoder.get_layer("mixed2"))]:
        layer.trainable = False  # the early layers know edges and colours already, and cost the most
    wholes = SceneBatches(pictures, scenes, IMAGE_SIDE, options.batch_size, seed=2)
    train_phase(trainer, wholes, 1e-3, options.work / "wholes", options.scene_epochs)

    for layer in encoder.layers[1 + encoder.layers.index(encoder.get_layer(LAST_FROZEN)) :]:
        layer.trainable = True
    maps = compute_maps(encoder, pictures[: options.maps], options.work / "maps.npy")
    train_upper_blocks(encoder, maps, scenes[: options.maps], options)
    write_small_weights(encoder, options.output)


if __name__ == "__main__":
    main()

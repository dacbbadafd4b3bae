"""Work on parts, and shards: whole or made again, with a manifest. Nothing here starts Ray."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="reading these sources takes requirements-ray.txt")

from cluster_samples import SIDE, jpegs, read_back, write_tar
from hostile_files import write_zip
from step_samples import VOCAB, TableModel

from say_what_you_see.core.errors import CourseError
from say_what_you_see.decoding.samplers import Greedy
from say_what_you_see.distributed.shards import FORMATS, ShardFolder
from say_what_you_see.distributed.sources import Part, find_parts
from say_what_you_see.distributed.worker import CaptioningModel, work_on
from say_what_you_see.serving.fast_captioner import FastCaptioner
from say_what_you_see.vision.pictures import crop_and_resize

PICTURES = jpegs(45)
BAD = [7, 13]
KINDS = [(kind, form) for kind, forms in FORMATS.items() for form in forms]


class MeanColour(NamedTuple):
    """Stands in for a model: the 'embedding' is the mean colour, the caption tells the red of it."""

    kind: str = "embeddings"
    input_shape: tuple[int, int] = (SIDE, SIDE)
    batch_size: int = 4

    def __call__(self, pixels: np.ndarray):
        assert 0 < len(pixels) <= self.batch_size
        means = pixels.astype("float32").mean(axis=(1, 2))
        captions = [[{"caption": f"red {red}", "probability": 0.5}] for red in means[:, 0]]
        return means if self.kind == "embeddings" else captions


@pytest.fixture(params=["zip", "tar"])
def parts(request, tmp_path) -> list[Part]:
    write = {"zip": write_zip, "tar": write_tar}[request.param]
    paths = [str(write(tmp_path / f"{i}.{request.param}", PICTURES[i : i + 15])) for i in (0, 15, 30)]
    return find_parts(paths, 15)[0]


def write(
    folder: Path, parts: list[Part], most: int | None = None, kind: str = "embeddings", form: str = "npy"
) -> list[int]:
    """Make the shards that are missing, so many of them at most; returns their numbers."""
    shards = ShardFolder(folder, kind, form, {"sources": "some"}, len(parts))
    missing = shards.missing()[:most]
    for number in missing:
        shards.write(number, work_on(parts[number], MeanColour(kind)), "numpy")
    if most is None:
        shards.finish()
    return missing


def expected() -> tuple[list[str], np.ndarray]:
    good = [picture for index, picture in enumerate(PICTURES) if index not in BAD]
    return [name for name, _ in good], np.stack([crop_and_resize(data, (SIDE, SIDE)).mean((0, 1)) for _, data in good])


@pytest.mark.parametrize(("kind", "form"), KINDS)
def test_shards_hold_all_pictures_in_order(parts, tmp_path, kind, form, capsys):
    write(tmp_path / "out", parts, kind=kind, form=form)
    names, rows = read_back(tmp_path / "out")
    expected_names, means = expected()
    assert names == expected_names
    if kind == "embeddings":
        np.testing.assert_allclose(np.stack(rows), means, rtol=1e-5)
    else:
        assert [float(row[0]["caption"].removeprefix("red ")) for row in rows] == pytest.approx(means[:, 0].tolist())
    said = capsys.readouterr().out
    assert "Skipped 2 of 45 pictures." in said and f"{kind.capitalize()}: 43 in 3 shards" in said
    assert all(PICTURES[index][0] in said for index in BAD)


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_run_that_was_stopped_goes_on_after_the_last_whole_shard(parts, tmp_path, done):
    write(tmp_path / "out", parts, most=done)
    with pytest.raises(CourseError, match="not finished"):
        read_back(tmp_path / "out")
    assert write(tmp_path / "out", parts) == [0, 1, 2][done:]
    names, rows = read_back(tmp_path / "out")
    assert names == expected()[0]
    np.testing.assert_allclose(np.stack(rows), expected()[1], rtol=1e-5)
    assert write(tmp_path / "out", parts) == []
    with pytest.raises(CourseError, match="another model or other options"):
        ShardFolder(tmp_path / "out", "embeddings", "npy", {"sources": "some", "weights": "others"}, len(parts))


@pytest.mark.parametrize("damage", ["cut", "gone", "other bytes", "record cut"])
def test_a_shard_that_is_not_whole_is_made_again(parts, tmp_path, damage):
    folder = tmp_path / "out"
    write(folder, parts)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    path = folder / "000001.npy"
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "record cut":
        path.with_suffix(".json").write_text('{"made_')
    else:
        path.write_bytes(data[:-5] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    assert write(folder, parts) == [1]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_a_model_whose_output_is_not_numbers_is_refused(monkeypatch):
    table = TableModel(np.full((len(VOCAB), len(VOCAB)), np.nan))
    features = np.zeros((2, len(VOCAB)), "float32")
    captioner = FastCaptioner(lambda images: features, table, (SIDE, SIDE), VOCAB, "photographs", None)
    monkeypatch.setattr("say_what_you_see.serving.captioner.captioner_of", lambda *_: captioner)
    model = CaptioningModel(None, None, Greedy(), 0, (SIDE, SIDE), 2)
    with pytest.raises(CourseError, match="not numbers"):
        model(np.zeros((2, SIDE, SIDE, 3), "uint8"))

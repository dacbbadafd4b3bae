"""The commands of training at scale, one after another, as a user would give them."""

import re

import needs_tensorflow  # noqa: F401  (the module is skipped on other backends)
import pytest
from PIL import Image

from say_what_you_see.training.scale.events import read_scalars


def test_from_pictures_to_captions(command, tmp_path):
    records, folder = tmp_path / "records", tmp_path / "im2txt"
    places = ["--records", records, "--folder", folder]
    output, _ = command(
        "records", "--records", records, "--train-shards", "2", "--val-shards", "1", "--test-shards", "1"
    )
    assert "train          2        48       240" in output
    assert len(list(records.glob("train-?????-of-00002"))) == 2

    training = ["train-records", *places, "--batch-size", "8", "--log-every", "1"]
    output, _ = command(*training, "--units", "12", "--steps", "3", "--learning-rate", "0.01")
    assert f"Step 3, checkpoints in {folder / 'train'}" in output
    command(*training, "--train-inception", "--steps", "5", "--warm-up", "4")  # sizes as before
    rates = dict(read_scalars(folder / "train")["learning_rate"])
    assert rates[3] == pytest.approx(0.01, rel=1e-3) and rates[4] == pytest.approx(5e-5 / 2)

    output, _ = command("evaluate-records", *places, "--once")
    found = re.findall(r"^step (\d+): perplexity (\S+), loss", output, re.MULTILINE)
    assert [step for step, _ in found] == ["3", "5"] and all(1 < float(value) < 200 for _, value in found)
    _, errors = command("evaluate-records", *places, "--once")
    assert "Nothing new" in errors
    output, _ = command("evaluate-records", *places, "--shards", "test", "--once")
    assert output.count("perplexity") == 2, "kept apart from those of val"

    Image.new("RGB", (40, 30), "red").save(tmp_path / "photo.png")
    inference = ["run-inference", "--checkpoint", folder / "train", "--beam", "2"]
    output, _ = command(*inference, tmp_path / "photo.png")
    assert re.fullmatch(r"Captions for image photo.png:\n(  \d\) .*\(p=0\.\d{6}\)\n){2}", output)

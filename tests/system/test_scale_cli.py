"""The commands of training at scale, one after another, as a user would give them."""

import re

import needs_tensorflow  # noqa: F401  (the module is skipped on other backends)
import pytest
from PIL import Image

from say_what_you_see.commands.main import main
from say_what_you_see.training.scale.events import read_scalars


def test_from_pictures_to_captions(course_environ, tmp_path, capsys):
    records, folder = tmp_path / "records", tmp_path / "im2txt"
    places = ["--records", str(records), "--folder", str(folder)]
    assert main(["records", "--records", str(records), "--train-shards", "2", "--val-shards", "1"]) == 0
    assert "train          2        48       240" in capsys.readouterr().out
    assert len(list(records.glob("train-?????-of-00002"))) == 2

    training = ["train-records", *places, "--batch-size", "8", "--log-every", "1"]
    assert main([*training, "--units", "12", "--steps", "3", "--learning-rate", "0.01"]) == 0
    assert f"Step 3, checkpoints in {folder / 'train'}" in capsys.readouterr().out
    assert main([*training, "--train-inception", "--steps", "5", "--warm-up", "4"]) == 0, "sizes as before"
    rates = dict(read_scalars(folder / "train")["learning_rate"])
    assert rates[3] == pytest.approx(0.01, rel=1e-3) and rates[4] == pytest.approx(5e-5 / 2)

    capsys.readouterr()
    assert main(["evaluate-records", *places, "--once"]) == 0
    found = re.findall(r"^step (\d+): perplexity (\S+), loss", capsys.readouterr().out, re.MULTILINE)
    assert [step for step, _ in found] == ["3", "5"] and all(1 < float(value) < 200 for _, value in found)
    assert main(["evaluate-records", *places, "--once"]) == 0
    assert "Nothing new" in capsys.readouterr().err

    Image.new("RGB", (40, 30), "red").save(tmp_path / "photo.png")
    inference = ["run-inference", "--checkpoint", str(folder / "train"), "--beam", "2"]
    assert main([*inference, str(tmp_path / "photo.png")]) == 0
    assert re.fullmatch(r"Captions for image photo.png:\n(  \d\) .*\(p=0\.\d{6}\)\n){2}", capsys.readouterr().out)

"""Captions from a checkpoint, printed in im2txt's form."""

import math
import re
from pathlib import Path

import needs_tensorflow  # noqa: F401  (the module is skipped on other backends)
import numpy as np
import pytest
from hostile_files import picture
from scale_samples import SIDE, tiny_cnn, tiny_config, tiny_training

from say_what_you_see.language.captions import END, START
from say_what_you_see.serving.scale_inference import caption_images, run_inference
from say_what_you_see.training.scale.folder import load_scale_model
from say_what_you_see.training.scale.training import LearningRate, train_on_records


@pytest.fixture(scope="module")
def trained(records, tmp_path_factory) -> Path:
    """A training that has learned a few common words."""
    folder = tmp_path_factory.mktemp("trained") / "train"
    training = tiny_training(records, folder, 40, learning_rate=LearningRate(3e-2), log_every=20)
    train_on_records(training, tiny_config(records, dropout=0.0), tiny_cnn)
    return folder


def test_captions_are_printed_for_every_good_picture_and_the_bad_ones_are_named(trained, tmp_path, capsys):
    good, bad = ([tmp_path / name for name in names] for names in (("a.jpg", "b.png"), ("text.jpg", "missing.jpg")))
    for path, kind in zip(good, ("JPEG", "PNG"), strict=True):
        path.write_bytes(picture(kind, (60, 40)))
    bad[0].write_text("no picture")
    assert run_inference(trained, [bad[0], good[0], bad[1], good[1]]) == 1
    output = capsys.readouterr()
    lines, errors = output.out.splitlines(), output.err.splitlines()
    for number, path in enumerate(good):
        title, *captions = lines[4 * number : 4 * number + 4]
        assert title == f"Captions for image {path.name}:"
        found = [re.fullmatch(r"  (\d)\) ([a-z ]*) \(p=(\d\.\d{6})\)", line) for line in captions]
        assert [match[1] for match in found] == ["0", "1", "2"]
        probabilities = [float(match[3]) for match in found]
        assert probabilities == sorted(probabilities, reverse=True) and 0 < probabilities[0] <= 1
    assert len(lines) == 8 and len(errors) == 2
    assert all(error.startswith("Error: ") and str(path) in error for path, error in zip(bad, errors, strict=True))


def test_p_is_the_probability_of_all_words_and_the_end(trained):
    """Computed once more from the model as it was trained, with all words at once."""
    loaded = load_scale_model(trained)
    pictures = np.random.default_rng(2).uniform(-1, 1, (2, SIDE, SIDE, 3)).astype("float32")
    for pixels, found in zip(pictures, caption_images(loaded, pictures, k=3), strict=True):
        assert len(found) == 3 and len({sentence for sentence, _ in found}) == 3
        for sentence, probability in found:
            ids = [loaded.vocab[word] for word in (START, *sentence.split(), END)]
            logits = np.array(loaded.model([pixels[None], np.array([ids[:-1]])]), dtype="float64")[0]
            logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
            expected = math.exp(sum(logs[step, word] for step, word in enumerate(ids[1:])))
            assert probability == pytest.approx(expected, rel=1e-3)

"""Evaluating checkpoints: perplexity over the validation captions, event files that TensorBoard reads."""

import math
import shutil
import threading
from pathlib import Path

import needs_tensorflow  # noqa: F401  (the module is skipped on other backends)
import numpy as np
import pytest
from scale_samples import SIDE, tiny_cnn, tiny_config, tiny_training
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from say_what_you_see.evaluation.scale import EvaluationConfig, evaluate_records, read_evaluations
from say_what_you_see.training.scale.events import read_scalars
from say_what_you_see.training.scale.folder import load_scale_model
from say_what_you_see.training.scale.record_input import batches
from say_what_you_see.training.scale.training import train_on_records


@pytest.fixture(scope="module")
def trained(records, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "train"
    train_on_records(tiny_training(records, folder, 6, save_every=3), tiny_config(records), tiny_cnn)
    return folder


@pytest.fixture
def config(trained, records, tmp_path) -> EvaluationConfig:
    folder = Path(shutil.copytree(trained, tmp_path / "train"))
    return EvaluationConfig(records, folder, tmp_path / "eval", batch_size=50, examples=0)


@pytest.fixture(scope="module")
def evaluated(trained, records, tmp_path_factory) -> EvaluationConfig:
    config = EvaluationConfig(records, trained, tmp_path_factory.mktemp("evaluated"), batch_size=50)
    assert len(list(evaluate_records(config, once=True))) == 2
    return config


def test_perplexity_over_all_words_of_the_validation_captions(evaluated, records, trained):
    model, surprises = load_scale_model(trained).model, []
    for pictures, words, targets, mask in batches(records, "val", 7, SIDE):
        logits = np.array(model([pictures, words]), dtype="float64")
        shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        picked = np.take_along_axis(shares, targets.numpy()[..., None], axis=-1)[..., 0]
        surprises += (-np.log(picked[mask.numpy() == 1])).tolist()
    result = read_evaluations(evaluated.folder)[-1]
    assert result.step == 6 and result.words == len(surprises)
    assert result.loss == pytest.approx(np.mean(surprises), rel=1e-5)
    assert result.perplexity == pytest.approx(math.exp(np.mean(surprises)), rel=1e-5)


def test_tensorboard_finds_curves_pictures_and_captions(evaluated):
    results = read_evaluations(evaluated.folder)
    curves = read_scalars(evaluated.folder)
    assert set(curves) == {"loss", "perplexity"}
    for tag, curve in curves.items():
        assert [step for step, _ in curve] == [3, 6]
        assert [value for _, value in curve] == pytest.approx([getattr(result, tag) for result in results], rel=1e-5)
    events = EventAccumulator(str(next(evaluated.folder.glob("*tfevents*")))).Reload()
    assert set(events.Tags()["tensors"]) == {"loss", "perplexity", "examples", "captions"}


def test_every_checkpoint_is_evaluated_once(config, records):
    assert [result.step for result in evaluate_records(config, once=True)] == [3, 6]
    assert list(evaluate_records(config, once=True)) == []
    train_on_records(tiny_training(records, config.train_folder, 9, save_every=3), tiny_config(records), tiny_cnn)
    assert [result.step for result in evaluate_records(config, once=True)] == [9]
    assert [result.step for result in read_evaluations(config.folder)] == [3, 6, 9]


def test_evaluation_waits_for_checkpoints_while_training_goes_on(config, tmp_path):
    """As two processes would, with the training folder not there yet when the evaluation starts."""
    kept = config.train_folder.rename(tmp_path / "kept")
    results: list[int] = []
    evaluation = evaluate_records(config, timeout=4)
    waiting = threading.Thread(target=lambda: results.extend(result.step for result in evaluation))
    waiting.start()
    kept.rename(config.train_folder)
    waiting.join(timeout=120)
    assert not waiting.is_alive() and results == [3, 6]

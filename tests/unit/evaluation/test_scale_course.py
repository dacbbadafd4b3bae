"""What notebook 09 puts together: sizes and steps by the settings, a report beside those of other models, figures."""

from __future__ import annotations

import needs_tensorflow  # noqa: F401  (the module is skipped on other backends)
import numpy as np
import pytest
from scale_samples import SIDE, tiny_cnn, tiny_config, tiny_training

from say_what_you_see.core.errors import CourseError
from say_what_you_see.data.archives import image_members
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.data.scenes.truth import read_scene_truths
from say_what_you_see.evaluation.comparison import comparison_table
from say_what_you_see.evaluation.scale import EvaluationConfig, Evaluator
from say_what_you_see.evaluation.scale_lesson import (
    measure_scale_model,
    read_validation_images,
)
from say_what_you_see.language.captions import UNK
from say_what_you_see.training.scale.folder import ScaleFolders, copy_folder, load_scale_model
from say_what_you_see.training.scale.record_input import batches
from say_what_you_see.training.scale.training import train_on_records


@pytest.fixture(scope="module")
def folders(records, tmp_path_factory) -> ScaleFolders:
    """A training of four steps, evaluated after each two."""
    made = ScaleFolders(tmp_path_factory.mktemp("made"))
    config = EvaluationConfig(records, made.train, made.evaluation, examples=0)
    training = tiny_training(records, made.train, 4, save_every=2, keep=1)
    train_on_records(training, tiny_config(records), tiny_cnn, after_checkpoint=Evaluator(config))
    return made


def test_a_report_beside_those_of_other_models(folders, records, finished_course):
    files, trained = get_dataset(finished_course.settings), load_scale_model(folders.train)
    fns = sorted(member.filename.rsplit("/")[-1] for member in image_members(files.val_zip))
    pictures = read_validation_images(finished_course.settings, files, fns)
    assert pictures.shape == (len(fns), SIDE, SIDE, 3) and -1 <= pictures.min() < pictures.max() <= 1
    by_file = read_scene_truths(files.captions_zip, files.val_instances)
    report = measure_scale_model("tiny", trained, records, pictures, [by_file[fn] for fn in fns], 12.0)

    words, surprise, unknown = 0, 0.0, 0
    for batch_pictures, inputs, targets, mask in batches(records, "val", 17, SIDE, max_len=100):
        logits = np.array(trained.model([batch_pictures, inputs]), dtype="float64")
        logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        real = mask.numpy() == 1
        surprise -= np.take_along_axis(logs, targets.numpy()[..., None], axis=-1)[..., 0][real].sum()
        words, unknown = words + real.sum(), unknown + (targets.numpy()[real] == trained.vocab[UNK]).sum()
    assert (report.words, report.unknown, report.captions) == (words, unknown, 5 * len(fns))
    assert report.val_loss == pytest.approx(surprise / words, rel=1e-5)
    assert report.parameters == trained.model.count_params()
    assert report.captions_per_second > 0 and report.scores
    assert "tiny" in comparison_table([report])
    without = measure_scale_model("tiny", trained, records, pictures[:2], None, None)
    assert without.scores is None and without.val_loss == report.val_loss


def test_a_folder_is_copied_once_and_whole(folders, tmp_path):
    copy = tmp_path / "copies" / "train"
    copy_folder(folders.train, copy)
    assert load_scale_model(copy).step == 4
    (copy / "config.json").unlink()
    copy_folder(folders.train, copy)
    assert not (copy / "config.json").exists()
    assert [path.name for path in copy.parent.iterdir()] == ["train"]
    with pytest.raises(CourseError, match="no checkpoint"):
        copy_folder(tmp_path / "copies", tmp_path / "other")


# Figures

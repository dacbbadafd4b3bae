"""What notebook 09 trains, and the copy of its folder that the control goes on from."""

from __future__ import annotations

import needs_tensorflow  # noqa: F401  (the module is skipped on other backends)
import pytest
from scale_samples import tiny_cnn, tiny_config, tiny_training

from say_what_you_see.core.errors import CourseError
from say_what_you_see.evaluation.scale import EvaluationConfig, Evaluator
from say_what_you_see.training.scale.folder import ScaleFolders, copy_folder, load_scale_model
from say_what_you_see.training.scale.training import train_on_records


@pytest.fixture(scope="module")
def folders(records, tmp_path_factory) -> ScaleFolders:
    """A training of four steps, evaluated after each two."""
    made = ScaleFolders(tmp_path_factory.mktemp("made"))
    config = EvaluationConfig(records, made.train, made.evaluation, examples=0)
    training = tiny_training(records, made.train, 4, save_every=2, keep=1)
    train_on_records(training, tiny_config(records), tiny_cnn, after_checkpoint=Evaluator(config))
    return made


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

"""Extraction with OpenVINO: the same embeddings, interrupted or not, and Keras where it cannot be had."""

import json
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import DEFAULT, Mock

import numpy as np
import pytest
from caption_samples import write_tiny_encoder
from hostile_files import picture, write_zip

from say_what_you_see.core.settings import Settings, read_settings
from say_what_you_see.course import features as course
from say_what_you_see.vision import fast_encoder as fast
from say_what_you_see.vision.encoders import EncoderInfo, encoder_for
from say_what_you_see.vision.extraction import apply_model
from say_what_you_see.vision.fast_encoder import METADATA_FILE, FastEncoder, export_folder, load_or_export
from say_what_you_see.vision.openvino import ParallelNetwork, openvino_is_installed

ENGINE = pytest.mark.skipif(not openvino_is_installed(), reason="OpenVINO is not installed")
BATCH_SIZE, PICTURES = 4, 22


def make_encoder(folder: Path) -> EncoderInfo:
    path = write_tiny_encoder(folder / "tiny.keras")
    return encoder_for(Settings("scenes", str(path), "small", 0, folder))


@pytest.fixture(scope="module")
def zip_fn(tmp_path_factory) -> Path:
    """Pictures, two of which cannot be read."""
    pictures = {f"{number}.png": picture("PNG", (40, 30), number=number) for number in range(PICTURES)}
    return write_zip(tmp_path_factory.mktemp("zip") / "pictures.zip", pictures | {"5.png": b"", "9.png": b""})


@pytest.fixture
def encoder(tmp_path) -> EncoderInfo:
    return make_encoder(tmp_path)


@pytest.fixture(autouse=True)
def always_worth_it(monkeypatch) -> None:
    """An export even for a few pictures, on any processor."""
    monkeypatch.setattr(fast, "MIN_PICTURES", 0)
    monkeypatch.setattr(fast, "QUICKER_ON", (fast.platform.machine().lower(),))
    monkeypatch.setattr(fast, "count_accelerators", lambda: 0)


def extract(zip_fn, encoder: EncoderInfo, model, store: Path | None = None):
    return apply_model(zip_fn, model, encoder.preprocess_for_model, encoder.input_shape, BATCH_SIZE, store)


def fast_encoder(encoder: EncoderInfo, tmp_path: Path, zip_fn: Path) -> FastEncoder:
    return FastEncoder(encoder, tmp_path / "data", [zip_fn])


def interrupt(at: int, zip_fn: Path, encoder: EncoderInfo, model: FastEncoder, store: Path) -> None:
    """Interrupt an extraction at one of its batches."""
    model.predict_on_batch = Mock(wraps=model.predict_on_batch, side_effect=[DEFAULT] * at + [KeyboardInterrupt])
    with pytest.raises(KeyboardInterrupt):
        extract(zip_fn, encoder, model, store)


def noted_engine(store: Path) -> str:
    return json.loads(store.with_suffix(".json").read_text())["engine"]


@ENGINE
def test_openvino_gives_what_keras_gives_and_the_export_is_made_once(zip_fn, encoder, tmp_path, monkeypatch, capsys):
    expected, names = extract(zip_fn, encoder, encoder.model)
    embeddings, file_names = extract(zip_fn, encoder, model := fast_encoder(encoder, tmp_path, zip_fn))
    assert model.engine == "openvino" and file_names == names and len(embeddings) == PICTURES - 2
    np.testing.assert_allclose(embeddings, expected, atol=1e-3 * np.abs(expected).max())
    assert "Exporting tiny" in capsys.readouterr().err
    monkeypatch.setattr(fast, "export_network", None)  # nobody calls it
    again = make_encoder(tmp_path)
    second, _ = extract(zip_fn, again, model := fast_encoder(again, tmp_path, zip_fn), tmp_path / "a.npy")
    assert model.engine == noted_engine(tmp_path / "a.npy") == "openvino"
    assert (embeddings == second).all() and capsys.readouterr().err == ""


@ENGINE
@pytest.mark.parametrize("batches", [0, 2, 4])
def test_an_interrupted_extraction_leaves_the_same_bytes(zip_fn, encoder, tmp_path, batches):
    undisturbed, store = tmp_path / "a.npy", tmp_path / "b.npy"
    extract(zip_fn, encoder, fast_encoder(encoder, tmp_path, zip_fn), undisturbed)
    interrupt(batches, zip_fn, encoder, fast_encoder(encoder, tmp_path, zip_fn), store)
    assert not store.exists()
    extract(zip_fn, encoder, fast_encoder(encoder, tmp_path, zip_fn), store)
    assert store.read_bytes() == undisturbed.read_bytes()
    assert store.with_suffix(".json").read_bytes() == undisturbed.with_suffix(".json").read_bytes()


@ENGINE
def test_an_extraction_goes_on_with_the_engine_that_it_was_started_with(zip_fn, encoder, tmp_path, monkeypatch):
    store = tmp_path / "a.npy"
    expected, _ = extract(zip_fn, encoder, encoder.model)
    with monkeypatch.context() as patch:
        patch.setattr(fast, "openvino_is_installed", lambda: False)
        interrupt(2, zip_fn, encoder, fast_encoder(encoder, tmp_path, zip_fn), store)
    assert noted_engine(store) == "keras"
    model = fast_encoder(encoder, tmp_path, zip_fn)
    extract(zip_fn, encoder, model, tmp_path / "b.npy")
    assert noted_engine(tmp_path / "b.npy") == "openvino"
    embeddings, _ = extract(zip_fn, encoder, model, store)
    assert model.engine == noted_engine(store) == "keras" and (embeddings == expected).all()


@pytest.mark.parametrize("why", ["missing", "GPU", "few pictures", "another processor"])
def test_nothing_is_exported_where_keras_does_better(zip_fn, encoder, tmp_path, monkeypatch, why, capsys):
    change = {
        "missing": ("openvino_is_installed", lambda: False), "GPU": ("count_accelerators", lambda: 1),
        "few pictures": ("MIN_PICTURES", PICTURES + 1), "another processor": ("QUICKER_ON", ("abacus",)),
    }  # fmt: skip
    monkeypatch.setattr(fast, *change[why])
    embeddings, _ = extract(zip_fn, encoder, model := fast_encoder(encoder, tmp_path, zip_fn))
    assert model.engine == "keras" and not (tmp_path / "data").exists() and capsys.readouterr().err == ""
    assert (embeddings == extract(zip_fn, encoder, encoder.model)[0]).all()


@ENGINE
def test_bfloat16_is_used_where_wanted_and_kept_to(zip_fn, encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fast, "MIN_PICTURES", PICTURES + 1)
    monkeypatch.setattr(fast, "has_bfloat16", lambda: True)
    expected, _ = extract(zip_fn, encoder, encoder.model)
    quicker, store = replace(encoder, precision="bfloat16"), tmp_path / "a.npy"
    interrupt(2, zip_fn, quicker, fast_encoder(quicker, tmp_path, zip_fn), store)
    embeddings, _ = extract(zip_fn, encoder, model := fast_encoder(encoder, tmp_path, zip_fn), store)
    assert model.engine == noted_engine(store) == "openvino_bfloat16"
    assert "computed in bfloat16" in capsys.readouterr().err
    np.testing.assert_allclose(embeddings, expected, atol=2e-2 * np.abs(expected).max())
    whole = extract(zip_fn, quicker, fast_encoder(quicker, tmp_path, zip_fn))[0]
    assert (embeddings == whole).all() and capsys.readouterr().err == ""
    monkeypatch.setattr(fast, "has_bfloat16", lambda: False)
    assert (extract(zip_fn, quicker, fast_encoder(quicker, tmp_path, zip_fn))[0] == expected).all()
    assert "computed in float32" in capsys.readouterr().err


@ENGINE
@pytest.mark.parametrize("problem", ["fails", "other numbers"])
def test_an_export_that_fails_or_disagrees_is_not_tried_again(zip_fn, encoder, tmp_path, monkeypatch, capsys, problem):
    failing = Mock(side_effect=ArithmeticError("this operation is not known"))
    change = {"fails": ("export_network", failing), "other numbers": ("agree", lambda *_: False)}
    monkeypatch.setattr(fast, *change[problem])
    embeddings, _ = extract(zip_fn, encoder, model := fast_encoder(encoder, tmp_path, zip_fn))
    assert model.engine == "keras" and (embeddings == extract(zip_fn, encoder, encoder.model)[0]).all()
    said = capsys.readouterr().err
    assert "by Keras instead" in said and ("ArithmeticError" if problem == "fails" else problem) in said
    folder = export_folder(encoder, tmp_path / "data")
    assert [path.name for path in folder.iterdir()] == [METADATA_FILE]
    monkeypatch.setattr(fast, "export_network", None)  # nobody calls it
    assert load_or_export(encoder, folder) is None
    assert fast_encoder(encoder, tmp_path, zip_fn).choose_engine() == "keras" and capsys.readouterr().err == ""


@ENGINE
@pytest.mark.parametrize("name", [METADATA_FILE, "encoder.xml", "encoder.bin"])
def test_a_damaged_export_is_made_anew(encoder, tmp_path, name, capsys):
    images = np.random.default_rng(0).random((2, *encoder.input_shape, 3), dtype="float32")
    expected = load_or_export(encoder, tmp_path)(images)
    whole = (tmp_path / name).read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 255
    for damaged in (whole[: len(whole) // 2], changed, None):
        (tmp_path / name).unlink()
        if damaged is not None:
            (tmp_path / name).write_bytes(damaged)
        capsys.readouterr()
        assert (load_or_export(encoder, tmp_path)(images) == expected).all()
        assert "Exporting" in capsys.readouterr().err and (tmp_path / name).exists()


@ENGINE
def test_the_course_uses_it_and_keras_resumes_from_its_files(finished_course, tmp_path, monkeypatch):
    settings = finished_course.settings
    files = course.get_dataset(settings)
    monkeypatch.setattr(course, "get_dataset", lambda _: files)
    own = read_settings({**finished_course.environ, "COURSE_DATA": str(tmp_path)})
    course.extract_embeddings(own)
    for split in course.SPLITS:
        expected, names = course.load_embeddings(settings, split)
        embeddings, file_names = course.load_embeddings(own, split)
        np.testing.assert_allclose(embeddings, expected, atol=1e-3 * np.abs(expected).max())
        assert file_names == names and noted_engine(own.work_folder / f"{split}_img_embeds.npy") == "openvino"


def test_the_first_call_of_a_network_is_made_alone_since_two_at_once_may_never_end():
    callers = []

    class Request:
        def infer(self, arrays, share_inputs):
            callers.append(threading.get_ident())
            return [arrays[0].mean(axis=(1, 2))]

    compiled = SimpleNamespace(
        get_property=lambda name: 2,
        create_infer_request=Request,
        input=lambda number: SimpleNamespace(shape=(1, 4, 4, 3)),
    )
    network = ParallelNetwork(compiled)
    assert callers == [threading.get_ident()]
    assert network(np.full((5, 4, 4, 3), 2.0)).tolist() == [[2.0] * 3] * 5 and len(callers) == 6

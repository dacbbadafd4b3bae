"""Trained models are found with their features, caption the validation pictures in every way, and are measured."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
from caption_samples import FEATURES, VOCAB, opinionated_decoder, scores_by_hand, toy_examples

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import read_json
from say_what_you_see.course.lessons import ATTENTION, SHOW_AND_TELL
from say_what_you_see.data.scenes.truth import SceneTruth
from say_what_you_see.decoding.beam_search import BeamSearch
from say_what_you_see.decoding.generate import generate_sentences
from say_what_you_see.decoding.samplers import Greedy, Sampling
from say_what_you_see.evaluation import evaluate
from say_what_you_see.evaluation.comparison import measure_model
from say_what_you_see.evaluation.evaluate import evaluate_captions, evaluate_samplers, save_evaluations
from say_what_you_see.evaluation.metrics import score_against_references
from say_what_you_see.evaluation.next_word import next_word_scores, teacher_forced_captions
from say_what_you_see.evaluation.people import compare_with_references, leave_one_out, reference_diversity
from say_what_you_see.evaluation.scene_scores import score_captions
from say_what_you_see.evaluation.trained import (
    ScoredPictures,
    TrainedModel,
    control_model,
    scored_pictures,
    trained_models,
)
from say_what_you_see.language.captions import (
    PAD,
    START,
    caption_tokens_to_indices,
    indices_to_sentence,
    invert_vocabulary,
    pack_captions,
)
from say_what_you_see.models.architectures import step_model_of
from say_what_you_see.models.attention import build_visual_attention
from say_what_you_see.models.show_and_tell import build_show_and_tell
from say_what_you_see.serving.model_folder import CaptionModel, load_caption_model, save_caption_model
from say_what_you_see.training.examples import Examples
from say_what_you_see.vision.encoders import encoder_for

SAMPLERS = {"greedy": Greedy(6), "beam, k = 1": BeamSearch(1, max_len=6), "sampling": Sampling(1.0, max_len=6)}


@pytest.fixture(scope="module")
def pictures(finished_course) -> ScoredPictures:
    """Those of the small course."""
    return scored_pictures(finished_course.settings, trained_models(finished_course.settings))


@pytest.fixture(scope="module")
def toy():
    """A decoder with large random weights, and pictures whose captions are known."""
    examples, decoder = toy_examples(12), opinionated_decoder(1)
    words = invert_vocabulary(VOCAB)
    rows_of_pictures = np.split(examples.captions.matrix, examples.captions.first[1:-1])
    groups = [[indices_to_sentence(row, words) for row in rows] for rows in rows_of_pictures]
    fns = [f"{number}.jpg" for number in range(12)]
    model = CaptionModel(decoder, VOCAB, {}, {})
    trained = TrainedModel("decoder", model, step_model_of(decoder), examples.image_embeds, fns)
    return SimpleNamespace(model=trained, pictures=ScoredPictures(fns, list(range(1, 13)), groups))


def test_the_models_of_the_advanced_notebooks_are_found_with_their_features(copied_course):
    [decoder] = trained_models(copied_course)
    vocab, encoder = decoder.caption_model.vocab, decoder.caption_model.encoder
    tell = build_show_and_tell(len(vocab), 8, 6, 6)
    attend = build_visual_attention(len(vocab), *encoder_for(copied_course, "grid").model.output_shape[1:], 6, 6, 6)
    for lesson, model, features in ((SHOW_AND_TELL, tell, "mean"), (ATTENTION, attend, "grid")):
        made = CaptionModel(model, vocab, {**encoder, "features": features})
        save_caption_model(made, lesson.model_folder(copied_course))
    models = trained_models(copied_course)
    assert [model.name for model in models] == ["decoder", "show_and_tell", "visual_attention"]
    pictures = scored_pictures(copied_course, models)
    assert pictures.fns == decoder.fns and all(name.startswith("scene_test_") for name in pictures.fns)
    few = replace(models[2], fns=models[2].fns[::-1][:20], features=models[2].features[::-1][:20])
    pictures = scored_pictures(copied_course, [decoder, few])
    assert set(pictures.fns) == set(few.fns), "those of which every model has features"
    rows = [models[2].fns.index(name) for name in pictures.fns]
    assert np.array_equal(few.features_of(pictures), models[2].features[rows])
    found = evaluate_samplers(models, pictures, {"greedy": Greedy(4)}, java=False)
    assert [one.model for one in found] == [model.name for model in models]


def test_features_by_another_encoder_are_refused(copied_course):
    model = load_caption_model(copied_course.model_folder)
    other = {**model.encoder, "weights_checksum": "0" * 64}
    save_caption_model(CaptionModel(model.decoder, model.vocab, other), copied_course.model_folder)
    with pytest.raises(CourseError, match="Train the model again"):
        trained_models(copied_course)


def test_the_control_of_notebook_04_is_found_or_asked_for(copied_course):
    [decoder] = trained_models(copied_course)
    with pytest.raises(CourseError, match="04_train_decoder"):
        control_model(copied_course, decoder)
    shutil.copytree(copied_course.work_folder / "checkpoints", copied_course.work_folder / "checkpoints_control")
    control, pictures = control_model(copied_course, decoder), scored_pictures(copied_course, [decoder])
    assert control.name == "control" and control.fns == decoder.fns
    scores = next_word_scores(control, pictures)
    assert scores == pytest.approx(next_word_scores(decoder, pictures), rel=1e-4), "here the two share a checkpoint"


def test_every_sampler_is_measured_and_equal_captions_once(toy, monkeypatch):
    monkeypatch.setattr(evaluate, "evaluate_captions", measured := Mock(wraps=evaluate_captions))
    greedy, beam, sampled = evaluate_samplers([toy.model], toy.pictures, SAMPLERS, java=False, seed=3)
    assert greedy.captions == beam.captions != sampled.captions and measured.call_count == 2
    assert (greedy.sampler, beam.sampler, sampled.sampler) == tuple(SAMPLERS) and greedy.metrics == beam.metrics
    assert greedy.captions == generate_sentences(toy.model.writer, toy.model.features, VOCAB, Greedy(6))
    again = evaluate_samplers([toy.model], toy.pictures, {"sampling": SAMPLERS["sampling"]}, java=False, seed=3)
    assert again[0].captions == sampled.captions
    assert greedy.exact is None and greedy.hallucinations is None


def test_a_teacher_forced_model_reads_the_true_words(toy):
    captions, words = [group[0] for group in toy.pictures.references], invert_vocabulary(VOCAB)
    decoder, features = toy.model.caption_model.decoder, toy.model.features
    said = teacher_forced_captions(decoder, features, captions, VOCAB)
    for caption, sentence, feature in zip(captions, said, features, strict=True):
        read, predicted = [VOCAB[START]], []
        for word in caption.split():
            logits = decoder.predict_on_batch([feature[None], np.array([read])])
            predicted.append(words[int(logits[0, -1].argmax())])
            read.append(VOCAB[word])
        assert sentence == " ".join(word for word in predicted if word[0] != "#")
    assert any(sentence != caption for caption, sentence in zip(captions, said, strict=True))


def test_people_and_models_are_compared_with_as_many(pictures):
    references = pictures.references
    captions, fewer = [group[0] for group in references], leave_one_out(references)
    columns = compare_with_references({"model": captions}, references, fewer, java=False)
    assert list(columns) == ["references", "model"]
    assert 0 < columns["references"]["BLEU-1"].value < 1
    assert columns["model"]["CIDEr"] == score_against_references(captions, fewer, java=False)["CIDEr"]
    assert reference_diversity(references)["distinct captions"] > 12
    with pytest.raises(CourseError):
        compare_with_references({}, [["only one"]], [[]], java=False)


def test_all_scores_are_kept_as_json_without_numbers_that_are_none(pictures, tmp_path):
    found = evaluate_captions(["in the desert"] * 24, pictures, java=False, model="m", sampler="w")
    save_evaluations(tmp_path, [found], pictures, {"m": {"loss": 1.0}})
    kept = read_json(tmp_path / "scores.json")
    json.dumps(kept, allow_nan=False)
    assert kept["pictures"] == len(pictures) and kept["next_word"] == {"m": {"loss": 1.0}}
    [one] = kept["evaluations"]
    assert one["metrics"]["METEOR"]["value"] is None and "Java" in one["metrics"]["METEOR"]["note"]
    assert one["exact"]["things named that are there"]["value"] is None
    assert one["metrics"]["BLEU-1"]["value"] == found.metrics["BLEU-1"].value


def test_no_caption_is_cut_the_greedy_ones_are_scored_and_the_model_stays_as_it_is():
    long = " ".join(["a red ball"] * 12)
    captions = pack_captions(caption_tokens_to_indices([[long], ["a kite"]], VOCAB), VOCAB[PAD])
    examples, model = Examples(np.ones((2, FEATURES), dtype=np.float32), captions), opinionated_decoder()
    model.compile("sgd", "mse")
    optimizer, weights = model.optimizer, model.get_weights()
    truth = SceneTruth({"ball": "red"}, {"ball": "small"}, frozenset(), frozenset({"ball"}))
    report = measure_model("x", model, examples, examples.image_embeds, VOCAB, [truth] * 2, 1.0)
    loss = scores_by_hand(model, examples)["loss"]
    assert report.numbers["validation words"] == 36 + 1 + 2 + 1
    assert report.numbers["loss, nats per word"] == pytest.approx(loss, rel=1e-4)
    assert report.numbers["loss, nats per caption"] == pytest.approx(loss * 40 / 2, rel=1e-4)
    sentences = generate_sentences(step_model_of(model), examples.image_embeds, VOCAB)
    assert repr(report.scores) == repr(score_captions(sentences, [truth] * 2))
    assert report.numbers["captions a second (greedy)"] > 0
    assert model.optimizer is optimizer
    assert all(map(np.array_equal, model.get_weights(), weights))

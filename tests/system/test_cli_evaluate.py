"""`say-what-you-see evaluate`: what it prints, which files it leaves, and captions that others wrote."""

import json
import shutil

import pytest

from say_what_you_see.core.files import read_json
from say_what_you_see.evaluation.coco_results import read_coco_results, write_coco_results
from say_what_you_see.evaluation.evaluate import SAMPLERS
from say_what_you_see.evaluation.trained import scored_pictures, trained_models
from say_what_you_see.serving.model_folder import load_caption_model


@pytest.fixture
def pictures(finished_course):
    settings = finished_course.settings
    return scored_pictures(settings, trained_models(settings))


def test_it_prints_scores_and_leaves_captions_scores_and_a_page(command, finished_course, pictures):
    output, _ = command("evaluate", "--no-java")
    folder = finished_course.settings.work_folder / "evaluation"
    for text in ("24 test pictures", "decoder: loss", "perplexity", "BLEU-4", "CHAIRi", str(folder)):
        assert text in output
    captions = read_coco_results(folder / "results_decoder_greedy.json", pictures.image_ids)
    assert list(captions) == pictures.image_ids
    scores = read_json(folder / "scores.json")
    assert scores["pictures"] == 24 and [one["way"] for one in scores["evaluations"]] == list(SAMPLERS)
    assert "The 10 worst captions" in (folder / "report.html").read_text(encoding="utf-8")
    model = load_caption_model(finished_course.settings.model_folder)
    card = (model.folder / "README.md").read_text(encoding="utf-8")
    for text in (
        "drawn by this course",
        "24 drawn scenes of the test split",
        "| metric | greedy | beam, k = 3 |",
        "| CIDEr | ",
    ):
        assert text in card
    before = dict(model.metadata)
    output, _ = command("evaluate", "--no-java", "--greedy", "--pictures", "6", "--model", model.folder)
    assert "6_pictures_greedy" in output and read_json(folder / "scores.json") == scores, "the whole evaluation stays"
    assert load_caption_model(model.folder).metadata == before, "a few pictures are no scores for a card"


def test_models_of_the_same_architecture_go_by_the_names_that_the_user_gave(command, finished_course, tmp_path):
    """In JSON for machines, and on a page that goes where one wants it."""
    shutil.copytree(finished_course.settings.model_folder, tmp_path / "copy")
    folders, page = [str(finished_course.settings.model_folder), str(tmp_path / "copy")], tmp_path / "errors.html"
    options = ["--no-java", "--greedy", "--json", "--pictures", "6", "--html", page]
    output, _ = command("evaluate", *options, "--model", folders[0], "--model", folders[1])
    answer = json.loads(output)
    assert list(answer["next_word"]) == [f"decoder, {folder}" for folder in folders] and answer["pictures"] == 6
    assert all(set(scores) == {"loss", "perplexity", "accuracy"} for scores in answer["next_word"].values())
    assert page.exists()


def test_captions_that_others_wrote_are_scored_beside_the_models(command, pictures, tmp_path):
    people = [group[0] for group in pictures.references]
    write_coco_results(tmp_path / "people.json", [*pictures.image_ids[::-1], 77], [*people[::-1], "another picture"])
    output, _ = command("evaluate", "--no-java", "--greedy", "--json", "--results", tmp_path / "people.json")
    _, brought = json.loads(output)["evaluations"]
    assert brought["model"] == "people.json" and brought["metrics"]["BLEU-4"]["value"] == pytest.approx(1)
    assert brought["exact"]["things named that are there"]["value"] == 1


def test_a_file_that_leaves_pictures_out_is_refused(command, pictures, tmp_path):
    write_coco_results(tmp_path / "few.json", pictures.image_ids[:20], ["a ball"] * 20)
    _, error = command("evaluate", "--no-java", "--results", tmp_path / "few.json", status=1)
    assert "few.json has no caption for 4 of 24" in error

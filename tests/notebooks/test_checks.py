"""`check`: right answers pass, typical wrong ones are recognised by name, and reports help without telling all."""

import re
import subprocess
import sys

import numpy as np
import pytest
from exercise_samples import named, report_on

from say_what_you_see.core.errors import CourseError
from say_what_you_see.language import captions as references
from say_what_you_see.models import bottleneck_lstm
from utils.check import CheckFailed, check, find_exercise, show_progress

NOTEBOOK = "03_prepare_captions"

pytestmark = pytest.mark.usefixtures("data_folder")


def test_what_is_not_written_yet(capsys):
    def unwritten(sentence):
        raise NotImplementedError("Write split_sentence here, in place of this line.")

    report, message = report_on(unwritten, "split_sentence", capsys)
    assert report == "" and message.startswith("split_sentence is not written yet.")
    assert "Write split_sentence here" in message


def test_an_error_is_reported_with_case_and_line(capsys):
    def split_sentence(sentence):
        words = []
        return words[0]  # the line of the error

    with pytest.raises(CheckFailed):
        check(split_sentence)
    report = capsys.readouterr().out
    assert "Case 1 of 11: words and spaces" in report
    assert "received  the error IndexError: list index out of range" in report
    assert re.search(r"line \d+ of your code: return words\[0\]  # the line of the error", report)


def test_a_name_that_is_not_known_costs_no_hint_and_colours_of_terminals_go(capsys):
    def split_sentence(sentence):
        return no_such_name(sentence)  # noqa: F821

    report, _ = report_on(split_sentence, "split_sentence", capsys)
    assert "That name is not known" in report and "Hint" not in report and "expected" not in report

    def coloured(sentence):
        raise ValueError("\x1b[1mbold\x1b[0m")

    report, _ = report_on(coloured, "split_sentence", capsys)
    assert "the error ValueError: bold" in report and "Hint 1 of 3" in report and "\x1b" not in report


class Wrong:
    """Answers in which the report has something in particular to say."""

    [count_more, *_] = (mistake.wrong for mistake in find_exercise(references.generate_vocabulary).mistakes)

    def other_error(fns, zip_fn, zip_json_path):
        try:
            return references.get_captions_for_fns(fns, zip_fn, zip_json_path)
        except CourseError as error:
            raise RuntimeError("no captions") from error

    def stopped(sentence):
        raise KeyboardInterrupt  # what Jupyter's stop button raises within a loop

    def no_pair(image_embeds, captions, batch_size, rng, max_len=20):
        return np.zeros((batch_size, 3), np.float32), np.zeros((batch_size, 5), np.int32)

    def endless(next_word, state, tokens, max_len=20):
        while True:
            _, state = next_word(np.array([tokens.start]), state)

    def without_arrays(next_word, state, tokens, max_len=20):
        words = [tokens.start]
        while words[-1] != tokens.end and len(words) <= max_len:
            log_p, state = next_word(words[-1], state)
            words.append(int(log_p[0].argmax()))
        return words[1:]

    def masking(*sizes, **options):
        decoder = bottleneck_lstm.build_decoder(*sizes, **options)
        decoder.get_layer("word_embedding").mask_zero = True
        return decoder


@pytest.mark.parametrize(("answer", "exercise", "texts"), [
    (Wrong.count_more, "generate_vocabulary", [
        ": a word that occurs exactly min_count times.\n",
        "\n  train_captions = [['a b', 'b c'], ['d']]\n", "\n  min_count = 2\n",
        "\n  expected  {'#END#': 0, '#PAD#': 1, '#START#': 2, '#UNK#': 3, 'b': 4}\n",
        "\n  received  {'#END#': 0, '#PAD#': 1, '#START#': 2, '#UNK#': 3}\n",
        "\n  The first difference is at result['b']: expected 4, received nothing.\n",
        "words that occur exactly min_count times are left out",
    ]),
    (Wrong.other_error, "get_captions_for_fns", [
        "expected  the error CourseError", "received  the error RuntimeError: no captions", "that has no caption.",
    ]),
    (Wrong.stopped, "split_sentence", ["stopped", "loop"]),
    (Wrong.no_pair, "generate_batch", ["expected  form: '((embeddings, words), next words)'", "received  form: '(an"]),
    (Wrong.endless, "greedy_search", ["not right yet"]),
    (Wrong.without_arrays, "greedy_search", ["next_word takes an array"]),
    (Wrong.masking, "build_decoder", ["mask_zero"]),
])  # fmt: skip
def test_a_report_says_what_is_wrong(answer, exercise, texts, capsys):
    said = "".join(report_on(answer, exercise, capsys))
    assert all(text in said for text in texts)


def test_the_courses_own_function_gives_no_points(capsys, data_folder):
    assert check(references.split_sentence) == 0
    assert "course's own" in capsys.readouterr().out and not data_folder.exists()
    learners = named(references.generate_vocabulary, "generate_vocabulary")
    assert check(references.split_sentence, learners) == 0
    assert check(learners) is None


def test_one_hint_more_with_each_try(capsys):
    exercise = find_exercise(references.split_sentence)
    reports = [report_on(lambda sentence: [], "split_sentence", capsys)[0] for _ in range(4)]
    for number, report in enumerate(reports[:3], start=1):
        assert f"Hint {number} of 3: {exercise.hints[number - 1]}" in report and report.count("Hint") == 1
    assert "no more hints" in reports[3] and "no more hints" not in reports[2]


def test_progress_survives_the_kernel(capsys):
    check(named(references.split_sentence, "split_sentence"))
    capsys.readouterr()
    program = f"from utils.check import show_progress\nshow_progress({NOTEBOOK!r})"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[0] == "1 of 5 done"
    assert re.findall(r"  done  (\w+)", shown) == ["split_sentence"] and shown.count("  open  ") == 4


@pytest.mark.parametrize("damaged", ["{", '{"03_prepare_captions": 3}'])
def test_a_damaged_file_of_progress_is_no_obstacle(damaged, capsys, data_folder):
    data_folder.mkdir()
    (data_folder / "exercises.json").write_text(damaged)
    show_progress(NOTEBOOK)
    check(named(references.split_sentence, "split_sentence"))
    show_progress(NOTEBOOK)
    shown = capsys.readouterr().out
    assert "0 of 5 done" in shown and "1 of 5 done" in shown

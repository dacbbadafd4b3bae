"""The notebook linter: a good notebook passes, and each rule finds what it is there for."""

from __future__ import annotations

import nbformat
import pytest
from nbformat.v4 import new_output
from notebook_samples import OPENING, PIXEL, QUESTIONS, code, executed, notebook, picture, printed, well_formed, write

from say_what_you_see.core.errors import CourseError
from tools.lint_notebooks import LARGEST_FILE, lint_notebook, main


def lint(made, tmp_path):
    return lint_notebook(write(made, tmp_path / "00_lesson.ipynb"))


def changed(position, **fields):
    """The good notebook with one cell changed."""
    made = well_formed()
    made.cells[position].update(fields)
    return made


def with_output(*outputs):
    made = well_formed()
    made.cells[2].outputs = list(outputs)
    return made


def html(text):
    return new_output("display_data", {"text/html": text})


def test_a_good_notebook_passes(tmp_path):
    assert lint(well_formed(), tmp_path) == []


READING = well_formed().cells[6].source
BAD = {
    "no title": (changed(0, source=OPENING.replace("# A lesson", "")), "0 headings of level 1"),
    "two titles": (changed(3, source="# Another title"), "2 headings of level 1"),
    "late title": (
        notebook("Takes 2 minutes", "Really", *well_formed().cells),
        "too far down",
    ),
    "a jump in levels": (changed(1, source="### Too deep"), "level 3 after level 1"),
    "no goals": (changed(0, source=OPENING.replace("After this notebook", "Then")), "able to do"),
    "nothing to know before": (changed(0, source=OPENING.replace("Before you start", "Before")), "is needed before"),
    "no link to them": (changed(0, source=OPENING.replace("[nothing](https://example.org)", "x")), "with links"),
    "no minutes": (changed(0, source=OPENING.replace("2 minutes", "a while")), "time on a CPU"),
    "nothing about a GPU": (changed(0, source=OPENING.replace("GPU: not timed.", "")), "GPU"),
    "no difficulty": (changed(0, source=OPENING.replace("easy", "so so")), "easy, medium or hard"),
    "no glossary": (changed(0, source=OPENING.replace("#caption", "")), "glossary"),
    "no questions": (changed(5, source="## Questions"), "## Check yourself"),
    "one question": (changed(5, source="## Check yourself\n\n<details><summary>Q</summary>A</details>"), "1 questions"),
    "no answer": (changed(5, source=QUESTIONS.replace("\n<p>Two.</p>", "")), "1 questions"),
    "a blank line in an answer": (changed(5, source=QUESTIONS.replace("<p>Two", "\n<p>Two")), "blank line"),
    "too little to read": (changed(6, source="## Further reading\n\n- [a](b): c"), "1 entries"),
    "no reason to read": (changed(6, source=READING.replace("a): good.", "a)")), "why it is good"),
    "no link to read": (changed(6, source=READING.replace("[a]", "a")), "wants a link"),
    "no recap": (changed(7, source="## Summary"), "## Recap"),
    "nothing after the recap": (changed(8, source="The end."), "## What comes next"),
    "long text": (changed(3, source="### A detail\n\n" + "word " * 320), "322 words"),
    "not executed": (changed(2, execution_count=None), "not executed"),
    "executed twice": (changed(4, execution_count=3), "not executed"),
    "long cell": (changed(2, source="\n".join(f"a{n} = {n}" for n in range(26))), "26 lines"),
    "unknown tag": (changed(2, metadata={"tags": ["nbval-chek-output", "deterministic"]}), "nbval-chek-output"),
    "nothing compared": (changed(2, metadata={}), "compared by tests"),
    "compared without output": (changed(2, outputs=[]), "has an output"),
    "picture without alt": (changed(1, source="## First things\n\n![ ](pixel.png)"), "1 picture(s)"),
    "reference without alt": (changed(1, source="## First things\n\n![][pixel]"), "1 picture(s)"),
    "tag without alt": (changed(1, source='## First things\n\n<img src="pixel.png">'), "1 picture(s)"),
    "output without alt": (with_output(picture({})), "1 picture(s)"),
    "output with empty alt": (with_output(picture({"image/png": {"alt": " "}})), "1 picture(s)"),
    "HTML without alt": (with_output(html(f"<img src='data:image/png;base64,{PIXEL}'/>")), "1 picture(s)"),
    "path of Linux": (with_output(printed("saved to /home/ann/data/x\n")), "/home/ann"),
    "path of macOS": (with_output(printed("'/Users/ann/data'\n")), "/Users/ann"),
    "path of Windows": (with_output(printed("saved to C:\\Users\\ann\n")), "C:\\Users"),
    "path in HTML": (with_output(html("<p>/tmp/x</p>")), "/tmp/x"),
    "widget": (
        with_output(new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}})),
        "widgets",
    ),
    "error": (with_output(new_output("error", ename="E", evalue="no", traceback=[])), "is an error"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_notebook_is_found_out(name, tmp_path):
    made, expected = BAD[name]
    messages = lint(made, tmp_path)
    assert len(messages) == 1
    assert expected in messages[0]


def test_kernel_and_widget_state(tmp_path):
    made = well_formed()
    made.metadata.kernelspec.language = "R"
    made.metadata.widgets = {}
    assert len(lint(made, tmp_path)) == 2


def test_large_file(tmp_path):
    made = with_output(printed("x" * LARGEST_FILE))
    (message,) = lint(made, tmp_path)
    assert "bytes" in message


def test_what_is_allowed(tmp_path):
    long_lesson = executed("\n".join(["a = 1"] * 40), 1, printed("1\n"), tags=("tolerance",))
    long_lesson.metadata["include"] = "say_what_you_see.language.captions.split_sentence"
    made = well_formed()
    made.cells[2] = long_lesson
    made.cells[4].outputs = [
        picture({"alt": "a pixel"}),
        html(f"<img alt='a pixel' src='data:image/png;base64,{PIXEL}/tmp/'>"),
        printed("https://example.org/home/ann, data/tmp/x and ../tmp/x\n"),
    ]
    made.cells[3].source = "### `![](x.png)` is how to show a picture\n\n```\n<img src='x'>\n```"
    assert lint(made, tmp_path) == []


def test_command(tmp_path, capsys):
    good = write(well_formed(), tmp_path / "00_good.ipynb")
    bad = write(changed(0, source=OPENING.replace("# ", "")), tmp_path / "01_bad.ipynb")
    assert main([str(good)]) == 0
    assert main([str(good), str(bad)]) == 1
    assert "01_bad.ipynb: 0 headings" in capsys.readouterr().out


def test_what_is_no_notebook(tmp_path, capsys):
    path = tmp_path / "00_torn.ipynb"
    path.write_text(nbformat.writes(well_formed())[:100])
    with pytest.raises(CourseError, match="00_torn"):
        lint_notebook(path)
    assert main([str(path)]) == 1
    assert "00_torn" in capsys.readouterr().err


def test_code_without_outputs_counts_as_not_executed(tmp_path):
    made = well_formed()
    made.cells.insert(3, code("pass"))
    assert any("not executed" in message for message in lint(made, tmp_path))

"""The linter: the project passes, and each rule finds what it is there for."""

import nbformat
import pytest
from nbformat.v4 import new_output
from notebook_samples import OPENING, QUESTIONS, executed, picture, printed, well_formed, write

from tools.lint import lint_text, main
from tools.markdown import alternative_texts_in, links_in, prose

SLIP = "teh"  # codespell:ignore


@pytest.fixture
def project(tmp_path):
    """A project in which nothing is wrong."""
    links = "[lesson](notebooks/00_one.ipynb) and [words](docs/words.md#a-word)"
    put(tmp_path, "README.md", f"# A course\n\nSee {links}.\n")
    put(tmp_path, "docs/words.md", "# Words\n\n## A word\n\nIts colour. [Up](#words), [out](https://example.org/x).\n")
    put(tmp_path, "docs/glossary.md", "# Glossary\n\n## Caption\n\nA sentence.\n")
    put(tmp_path, "docs/square.png", "x")
    put(tmp_path, "notebooks/pixel.png", "x")
    put(tmp_path, "utils/code.py", '"""The color is right."""\n')
    write(well_formed(), tmp_path / "notebooks" / "00_one.ipynb")
    return tmp_path


def put(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("name", "text", "expected"), [
    ("docs/a.md", "# A\n\n[x](nowhere.md)", ": the link nowhere.md points to a file that the project does not have"),
    ("docs/a.md", "# A\n\n[x](words.md#no-word)", "heading that does not exist"),
    ("docs/a.md", "# A\n\n![a red square](red.png)", "file that the project does not have"),
    ("docs/a.md", "# A\n\n# B", "one heading of level 1"),
    ("docs/a.md", "# A\n\n### B", "level 3 after level 1"),
    ("docs/a.md", "# A\n\n![](square.png)", "say what it shows"),
    ("docs/a.md", "# A\n\n![square](square.png)", "say what it shows"),
    ("docs/a.md", "# A\n\n" + "word " * 20_000, "the limit is 60,000"),
    ("docs/a.md", f"# A\n\nIt is {SLIP} end.", f":3: {SLIP} ==> the"),
    ("docs/a.md", "# A\n\nIts color.", ":3: color ==> colour"),
    ("utils/a.py", f"# {SLIP} end\n", f":1: {SLIP} ==> the"),
    ("docs/a.png", "x" * 300_000, "the limit is 200,000"),
], ids=range(12))  # fmt: skip
def test_what_is_wrong_with_a_file_is_found_out(name, text, expected, project, capsys):
    put(project, name, text)
    assert main(project) == 1
    (message, _) = capsys.readouterr().out.splitlines()
    assert message.startswith(name) and expected in message


def changed(position, **fields):
    """The good notebook with one cell changed."""
    made = well_formed()
    made.cells[position].update(fields)
    return made


def with_output(output):
    return changed(2, outputs=[output])


INCLUDED = executed("def f(): ...", 1, printed("2\n"), tags=("nbval-check-output",))
INCLUDED.metadata["include"] = "a.f"
BAD_NOTEBOOKS = {
    "no goals": (changed(0, source=OPENING.replace("After this notebook", "Then")), "goals"),
    "no minutes": (changed(0, source=OPENING.replace("2 minutes", "a while")), "time on a CPU"),
    "no difficulty": (changed(0, source=OPENING.replace("easy", "so so")), "easy, medium or hard"),
    "no questions": (changed(5, source="## Questions"), "## Check yourself"),
    "one question": (changed(5, source="## Check yourself\n\n<details><summary>Q</summary>A</details>"), "1 questions"),
    "a blank line in an answer": (changed(5, source=QUESTIONS.replace("<p>Two", "\n<p>Two")), "blank line"),
    "too little to read": (changed(6, source="## Further reading\n\n- [a](https://b.org): c"), "3 to 5 entries"),
    "no recap": (changed(7, source="## Summary"), "## Recap"),
    "long text": (changed(3, source="### A detail\n\n" + "word " * 320), "322 words"),
    "not executed": (changed(2, execution_count=None), "not executed"),
    "long cell": (changed(2, source="\n".join(f"a{n} = {n}" for n in range(26))), "26 lines"),
    "unknown tag": (changed(2, metadata={"tags": ["nbval-chek-output", "deterministic"]}), "nbval-chek-output"),
    "nothing compared": (changed(2, metadata={}), "tests compare no output"),
    "output without alt": (with_output(picture({})), "without an alternative text"),
    "path of Linux": (with_output(printed("saved to /home/ann/data/x\n")), "/home/ann"),
    "widget": (with_output(new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}})), "widget"),
    "error": (with_output(new_output("error", ename="E", evalue="no", traceback=[])), "is an error"),
    "unused lesson code": (changed(2, **INCLUDED), "f is included, but no later cell uses it"),
    "large file": (with_output(printed("x" * 500_000)), "the limit is 500,000"),
}


@pytest.mark.parametrize("name", BAD_NOTEBOOKS)
def test_a_bad_notebook_is_found_out(name, project):
    made, expected = BAD_NOTEBOOKS[name]
    (message,) = lint_text(write(made, project / "notebooks" / "01_two.ipynb"))
    assert expected in message


def test_a_copy_for_learners_is_empty(project):
    made = well_formed()
    path = project / "notebooks" / "exercises" / "01_two.ipynb"
    for cell in made.cells:
        cell.source = cell.source.replace("../docs", "../../docs").replace("(pixel", "(../pixel")
    messages = lint_text(write(made, path))
    assert len(messages) == 2 and all("begin with an empty one" in message for message in messages)


def test_code_holds_no_links_pictures_or_spelling(project, capsys):
    text = f"# A\n\n`[x](y.md)` `color`\n\n```\n![](z.png) {SLIP}\n```\n\n    indented color <img src='x'>\n"
    assert links_in(text) == [] and alternative_texts_in(text) == []
    assert prose(text).splitlines()[0] == "# A" and not set(prose(text).split()) & {"color", SLIP, "`color`"}
    put(project, "docs/a.md", text)
    assert main(project) == 0 and capsys.readouterr().out == "0 problems.\n"


def test_a_torn_notebook_is_said_so(project, capsys):
    put(project, "notebooks/01_torn.ipynb", nbformat.writes(well_formed())[:100])
    assert main(project) == 1
    assert "01_torn" in capsys.readouterr().out

"""Running the course: fresh kernels, work used again, failures and interruptions that say how to go on."""

import os
import re
import signal
import subprocess
import sys

import nbformat
import pytest
from notebook_samples import PIXEL, QUESTIONS, code, notebook, write

from say_what_you_see.core.files import read_json, write_json
from tools import run_course
from tools.include_lessons import badge
from tools.notebooks import REPOSITORY, read_notebook
from tools.render import write_page

SHOW = f"""from IPython.display import display
display({{"image/png": "{PIXEL}"}}, raw=True, metadata={{"image/png": {{"alt": 'a "grey" pixel'}}}})"""
COUNT = """# says how often it ran
import os, pathlib
folder = pathlib.Path(os.environ["COURSE_DATA"], "scenes_small")
folder.mkdir(parents=True, exist_ok=True)
with open(folder / "runs.txt", "a") as file:
    file.write("x")
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of two notebooks, run small, with data and build in a temporary folder."""
    settings = {"COURSE_DATA": str(tmp_path / "data"), "COURSE_SIZE": "small", "COURSE_START": str(tmp_path)}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for name in ("DATASET", "ENCODER", "COURSE_SEED"):
        monkeypatch.delenv(name, raising=False)
    one = notebook("# One\n\n[on](01_two.ipynb)", code("import sys\nsys.executable"), code(""))
    write(one, tmp_path / "notebooks" / "00_one.ipynb")
    write(notebook("# Two", code(COUNT), code(SHOW)), tmp_path / "notebooks" / "01_two.ipynb")
    return tmp_path


def folders(course):
    return ["--notebooks", str(course / "notebooks"), "--build", str(course / "build")]


def run(course, *arguments):
    return run_course.main([*folders(course), *arguments])


def runs(course):
    return len((course / "data" / "scenes_small" / "runs.txt").read_text())


def change(course, name, position, source):
    path = course / "notebooks" / f"{name}.ipynb"
    made = read_notebook(path)
    made.cells[position].source = source
    nbformat.write(made, path)


def test_copies_and_pages_are_made_and_used_again(course, capsys):
    write_json(
        [{"file": f"{n}.jpg", "caption": f"a ball {n}", "references": ["one", "two", "three"]} for n in range(7)],
        course / "data" / "scenes_small" / "inception_v3" / "example_captions.json",
    )
    assert run(course) == 0
    assert not read_notebook(course / "notebooks" / "00_one.ipynb").cells[1].outputs
    executed = read_notebook(course / "build" / "notebooks" / "00_one.ipynb")
    assert executed.cells[1].outputs[0].data["text/plain"] == repr(sys.executable)
    output = capsys.readouterr().out
    lines = output.splitlines()
    assert re.match(r"01_two +\.\. 2/2 cells  0:\d\d$", lines[1])
    assert str(course / "build" / "html" / "00_one.html") in lines[-1]
    assert re.search(r"4\.jpg\n +model +a ball 4\n +reference +one\n +two\n", output) and "5.jpg" not in output

    page = (course / "build" / "html" / "01_two.html").read_text(encoding="utf-8")
    assert 'alt="a &quot;grey&quot; pixel"' in page or "alt='a \"grey\" pixel'" in page
    assert PIXEL[:40] in page
    assert not re.search(r"""<(script|link|img)[^>]+(src|href)=["']https?:""", page)
    assert 'href="01_two.html"' in (course / "build" / "html" / "00_one.html").read_text(encoding="utf-8")

    change(course, "01_two", 0, "# Deux")  # text alone needs no run
    assert run(course) == 0
    assert runs(course) == 1 and capsys.readouterr().out.count("used again") == 2
    assert "Deux" in (course / "build" / "html" / "01_two.html").read_text(encoding="utf-8")
    executed = read_notebook(course / "build" / "notebooks" / "01_two.ipynb")
    assert executed.cells[0].source == "# Deux" and executed.cells[2].outputs


def test_what_is_gone_or_outdated_is_made_again(course, capsys):
    assert run(course) == 0
    for number, lost in enumerate(["data/scenes_small/runs.txt", "build/html/01_two.html"], start=2):
        (course / lost).unlink()
        assert run(course) == 0
        assert (course / lost).exists() and runs(course) == number - 1
    assert len(re.findall("00_one +used again", capsys.readouterr().out)) == 2

    change(course, "00_one", 1, "1 + 1")
    assert run(course) == 0
    assert runs(course) == 3 and "used again" not in capsys.readouterr().out

    (course / "build" / "course.json").write_text('{"notebooks": {"00_one"')
    assert run(course) == 0
    assert runs(course) == 4 and set(read_json(course / "build" / "course.json")["notebooks"]) == {"00_one", "01_two"}


def test_a_failing_cell_stops_the_course_until_it_is_mended(course, capsys):
    lines = ["a = 1", "b = 2", "raise ValueError('\\x1b[31mno such thing\\x1b[0m')", *["c = 3"] * 9]
    change(course, "01_two", 2, "\n".join(lines))
    write(notebook("# Three", code("3")), course / "notebooks" / "02_three.ipynb")
    assert run(course) == 1
    captured = capsys.readouterr()
    assert "02_three" not in captured.out
    message = captured.err
    assert "01_two.ipynb failed in cell [2]" in message
    assert "a = 1" in message and message.count("c = 3") < 9
    assert "ValueError: no such thing" in message and "\x1b" not in message
    assert "make course" in message
    failed = read_notebook(course / "build" / "failed" / "01_two.ipynb")
    assert failed.cells[2].outputs[0].output_type == "error"
    assert not (course / "build" / "notebooks" / "01_two.ipynb").exists()

    change(course, "01_two", 2, "")
    assert run(course) == 0
    assert re.search("00_one +used again", capsys.readouterr().out)
    assert not (course / "build" / "failed" / "01_two.ipynb").exists()


@pytest.mark.skipif(os.name != "posix", reason="kills a process in the way of POSIX")
def test_a_kernel_that_dies_is_reported(course, capsys):
    change(course, "00_one", 1, "import os\nos.kill(os.getpid(), 9)")
    assert run(course) == 1
    message = capsys.readouterr().err
    assert "cell [1]" in message and "kernel died" in message and "memory" in message


@pytest.mark.skipif(os.name != "posix", reason="sends a signal in the way of POSIX")
def test_ctrl_c_reaches_the_cell_and_says_how_to_go_on(course):
    os.mkfifo(course / "notebooks" / "started")
    cell = """import pathlib, time
try:
    pathlib.Path("started").write_text("yes")
    time.sleep(600)
except KeyboardInterrupt:
    pathlib.Path("tidied").touch()
"""
    change(course, "00_one", 1, cell)
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.run_course", *folders(course)], cwd=REPOSITORY, stdout=-1, stderr=-1, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore Ctrl-C
    )  # fmt: skip
    assert (course / "notebooks" / "started").read_text() == "yes"  # waits for the cell
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert (course / "notebooks" / "tidied").exists()
    assert "stopped" in out and "01_two" not in out
    assert "make course" in err and "Traceback" not in err


def page_of(tmp_path, text):
    (tmp_path / "docs").mkdir(exist_ok=True)
    (tmp_path / "docs" / "words.md").touch()
    path = tmp_path / "build" / "html" / "page.html"
    write_page(notebook(f"# Title\n\n{text}"), "00_one", tmp_path / "notebooks", path)
    return path.read_text(encoding="utf-8")


def test_what_a_page_shows(tmp_path):
    text = f"{badge('notebooks/00_one.ipynb')}\n\nText. {QUESTIONS}\n\ncosts 5 $"
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "diagram.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    text += "\n\n![boxes and arrows](diagram.svg)"
    page = page_of(tmp_path, f"{text}\n\n[a](../docs/words.md#a), [b](01_two.ipynb), [c](../gone.md)")
    assert "Text." in page and "colab" not in page.lower()
    assert re.search(r"<details><summary>One and one\?</summary>\s*<p>Two\.</p>\s*</details>", page)
    assert all(f'href="{link}"' in page for link in ("../../docs/words.md#a", "01_two.html", "../gone.md"))
    assert "costs 5 $" in page and "<script" not in page
    assert 'src="data:image/svg+xml;base64,' in page and 'alt="boxes and arrows"' in page


def test_formulas_are_set_without_a_script(tmp_path):
    page = page_of(
        tmp_path, "where $x^2$ is, `$HOME`\n\n$$\\begin{aligned} a &= b_1 \\\\ c &= d \\end{aligned}$$\n\nend"
    )
    assert "<msup>" in page and page.count("<mtr>") == 2 and "<code>$HOME</code>" in page
    assert not re.search(r"mathjax|<script|aligned|\$x", page, re.IGNORECASE)

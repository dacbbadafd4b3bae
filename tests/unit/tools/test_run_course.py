"""Running the course: fresh kernels, work used again, failures and interruptions that say how to go on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from notebook_samples import PIXEL, QUESTIONS, code, notebook, write

from say_what_you_see.core.files import read_json, write_json
from tools import run_course
from tools.include_lessons import badge
from tools.notebooks import REPOSITORY, read_notebook
from tools.render import write_page

SHOW = (
    "from IPython.display import display\n"
    f"display({{'image/png': '{PIXEL}'}}, raw=True, metadata={{'image/png': {{'alt': 'a \"grey\" pixel'}}}})"
)
COUNT = (  # says how often it ran
    "import os, pathlib\n"
    "folder = pathlib.Path(os.environ['COURSE_DATA'], 'scenes_small')\n"
    "folder.mkdir(parents=True, exist_ok=True)\n"
    "with open(folder / 'runs.txt', 'a') as file:\n"
    "    file.write('x')\n"
)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of two notebooks, run small, with data and build in a temporary folder."""
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COURSE_SIZE", "small")
    monkeypatch.setenv("COURSE_START", str(tmp_path))
    for name in ("DATASET", "ENCODER", "COURSE_SEED"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "notebooks"
    write(
        notebook("# One\n\n[on](01_two.ipynb)", code("import sys\nsys.executable"), code("")), folder / "00_one.ipynb"
    )
    write(notebook("# Two", code(COUNT), code(SHOW)), folder / "01_two.ipynb")
    return tmp_path


def run(course, *arguments):
    return run_course.main(["--notebooks", str(course / "notebooks"), "--build", str(course / "build"), *arguments])


def runs(course):
    return len((course / "data" / "scenes_small" / "runs.txt").read_text())


def change(course, name, position, source):
    path = course / "notebooks" / f"{name}.ipynb"
    made = read_notebook(path)
    made.cells[position].source = source
    nbformat.write(made, path)


def test_copies_and_pages_are_made_and_the_notebooks_stay(course, capsys):
    before = {path: path.read_bytes() for path in (course / "notebooks").iterdir()}
    assert run(course) == 0
    assert {path: path.read_bytes() for path in (course / "notebooks").iterdir()} == before
    executed = read_notebook(course / "build" / "notebooks" / "00_one.ipynb")
    assert executed.cells[1].outputs[0].data["text/plain"] == repr(sys.executable)
    assert executed.cells[1].execution_count == 1
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"00_one +\. 1/1 cells  0:\d\d$", lines[0])
    assert re.match(r"01_two +\.\. 2/2 cells  0:\d\d$", lines[1])
    assert str(course / "build" / "html" / "00_one.html") in lines[-1]
    assert "2 notebooks" in lines[-2] and ("GB" in lines[-2] or os.name != "posix")


def test_pages_need_no_other_file(course):
    assert run(course) == 0
    page = (course / "build" / "html" / "01_two.html").read_text(encoding="utf-8")
    assert 'alt="a &quot;grey&quot; pixel"' in page or "alt='a \"grey\" pixel'" in page
    assert PIXEL[:40] in page
    assert not re.search(r"""<(script|link|img)[^>]+(src|href)=["']https?:""", page)
    assert not re.search(r"""(import|url\()\s*["']?https?:""", page)
    assert 'href="01_two.html"' in (course / "build" / "html" / "00_one.html").read_text(encoding="utf-8")


def test_a_page_has_no_badge(tmp_path):
    title = f"# Title\n\n{badge('notebooks/00_one.ipynb')}\n\nText."
    write_page(notebook(title), "00_one", tmp_path, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Text." in page and "colab" not in page.lower()


def test_a_page_keeps_answers_folded(tmp_path):
    write_page(notebook(f"# Title\n\n{QUESTIONS}"), "00_one", tmp_path, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert re.search(r"<details><summary>One and one\?</summary>\s*<p>Two\.</p>\s*</details>", page)


def test_a_page_links_the_courses_files_where_they_are(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "words.md").touch()
    text = "# Title\n\n[a](../docs/words.md#a), [b](01_two.ipynb), [c](../gone.md)"
    write_page(notebook(text), "00_one", tmp_path / "notebooks", tmp_path / "build" / "html" / "page.html")
    page = (tmp_path / "build" / "html" / "page.html").read_text(encoding="utf-8")
    assert all(f'href="{link}"' in page for link in ("../../docs/words.md#a", "01_two.html", "../gone.md"))


def test_only_formulas_load_a_script(tmp_path):
    for text, expected in (("costs 5 $", False), (r"where $x^2$ is", True)):
        write_page(notebook(f"# Title\n\n{text}"), "00_one", tmp_path, tmp_path / "page.html")
        page = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert bool(re.search("mathjax", page, re.IGNORECASE)) == expected


def test_finished_work_is_used_again(course, capsys):
    assert run(course) == 0
    capsys.readouterr()
    assert run(course) == 0
    assert runs(course) == 1
    assert capsys.readouterr().out.count("used again") == 2


@pytest.mark.parametrize("loss", ["data/scenes_small/runs.txt", "build/html/01_two.html", "build/course.json"])
def test_what_is_gone_is_made_again(course, loss, capsys):
    assert run(course) == 0
    (course / loss).unlink()
    capsys.readouterr()
    assert run(course) == 0
    assert (course / loss).exists()
    assert "used again" not in [line for line in capsys.readouterr().out.splitlines() if "01_two" in line][0]


def test_changed_code_runs_again_with_all_that_follows(course, capsys):
    assert run(course) == 0
    change(course, "00_one", 1, "1 + 1")
    capsys.readouterr()
    assert run(course) == 0
    assert "used again" not in capsys.readouterr().out
    assert runs(course) == 2


def test_other_settings_run_again(course, monkeypatch):
    assert run(course) == 0
    monkeypatch.setenv("COURSE_SEED", "1")
    assert run(course) == 0
    assert runs(course) == 2


def test_changed_text_needs_no_run(course, capsys):
    assert run(course) == 0
    change(course, "01_two", 0, "# Deux")
    capsys.readouterr()
    assert run(course) == 0
    assert capsys.readouterr().out.count("used again") == 2
    assert "Deux" in (course / "build" / "html" / "01_two.html").read_text(encoding="utf-8")
    executed = read_notebook(course / "build" / "notebooks" / "01_two.ipynb")
    assert executed.cells[0].source == "# Deux" and executed.cells[2].outputs


def test_a_damaged_record_counts_as_none(course):
    assert run(course) == 0
    (course / "build" / "course.json").write_text('{"notebooks": {"00_one"')
    assert run(course) == 0
    assert set(read_json(course / "build" / "course.json")["notebooks"]) == {"00_one", "01_two"}


def test_new_pictures_in_the_users_folder_are_noticed(course, monkeypatch, capsys):
    pictures = course / "pictures"
    pictures.mkdir()
    monkeypatch.setenv("DATASET", "pictures")
    assert run(course, "00") == 0
    assert run(course, "00") == 0
    assert capsys.readouterr().out.count("used again") == 1
    (pictures / "new.jpg").write_bytes(b"new")
    assert run(course, "00") == 0
    assert "used again" not in capsys.readouterr().out


def test_a_failing_cell_stops_the_course(course, capsys):
    lines = ["a = 1", "b = 2", "raise ValueError('\\x1b[31mno such thing\\x1b[0m')", *["c = 3"] * 9]
    change(course, "00_one", 2, "\n".join(lines))
    assert run(course) == 1
    captured = capsys.readouterr()
    assert "failed" in captured.out and "01_two" not in captured.out
    message = captured.err
    assert "00_one.ipynb failed in cell [2]" in message
    assert "a = 1" in message and message.count("c = 3") < 9
    assert "ValueError: no such thing" in message and "\x1b" not in message
    assert "make course" in message
    failed = read_notebook(course / "build" / "failed" / "00_one.ipynb")
    assert failed.cells[2].outputs[0].output_type == "error"
    assert not (course / "build" / "notebooks" / "00_one.ipynb").exists()

    change(course, "00_one", 2, "")
    assert run(course) == 0
    assert not (course / "build" / "failed" / "00_one.ipynb").exists()


def test_what_was_finished_before_a_failure_is_used_again(course, capsys):
    change(course, "01_two", 1, "1 / 0")
    assert run(course) == 1
    change(course, "01_two", 1, COUNT)
    capsys.readouterr()
    assert run(course) == 0
    assert re.search("00_one +used again", capsys.readouterr().out)


@pytest.mark.skipif(os.name != "posix", reason="kills a process in the way of POSIX")
def test_a_kernel_that_dies_is_reported(course, capsys):
    change(course, "00_one", 1, "import os\nos.kill(os.getpid(), 9)")
    assert run(course) == 1
    message = capsys.readouterr().err
    assert "cell [1]" in message and "kernel died" in message and "memory" in message


def test_a_kernel_that_does_not_start_is_reported(course):
    stand_in = course / "notebooks" / "ipykernel_launcher.py"  # comes first for a kernel that starts in this folder
    stand_in.write_text("raise SystemExit('there is no room')")
    folders = ["--notebooks", str(course / "notebooks"), "--build", str(course / "build")]
    command = [sys.executable, "-m", "tools.run_course", *folders]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 1
    assert "before its first cell" in result.stderr and "there is no room" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(os.name != "posix", reason="sends a signal in the way of POSIX")
def test_ctrl_c_reaches_the_cell_and_says_how_to_go_on(course):
    cell = (
        "import pathlib, time\n"
        "try:\n    pathlib.Path('started').touch()\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    pathlib.Path('tidied').touch()\n"
    )
    change(course, "00_one", 1, cell)
    folders = ["--notebooks", str(course / "notebooks"), "--build", str(course / "build")]
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.run_course", *folders], cwd=REPOSITORY, stdout=-1, stderr=-1, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore Ctrl-C
    )  # fmt: skip
    wait_for(course / "notebooks" / "started")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert (course / "notebooks" / "tidied").exists()
    assert "stopped" in out and "01_two" not in out
    assert "make course" in err and "Traceback" not in err


def wait_for(path: Path, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} did not come"
        time.sleep(0.05)


def test_some_notebooks_only(course, capsys):
    assert run(course, "01") == 0
    assert not (course / "build" / "notebooks" / "00_one.ipynb").exists()
    assert run(course) == 0
    assert runs(course) == 1
    assert run(course, "07") == 1
    assert "00_one, 01_two" in capsys.readouterr().err


def test_wrong_settings_are_one_message(course, monkeypatch, capsys):
    monkeypatch.setenv("DATASET", "cocoa")
    assert run(course) == 1
    message = capsys.readouterr().err
    assert "cocoa" in message and "flickr8k" in message and "Traceback" not in message


def test_no_notebooks(course, capsys):
    assert run_course.main(["--notebooks", str(course / "data")]) == 1
    assert "no notebooks" in capsys.readouterr().err


def test_in_place_writes_a_clean_notebook(course, monkeypatch):
    monkeypatch.delenv("COURSE_SIZE")
    path = course / "notebooks" / "01_two.ipynb"
    before = read_notebook(path)
    assert run(course, "--in-place", "01") == 0
    after = read_notebook(path)
    assert [cell.id for cell in after.cells] == [cell.id for cell in before.cells]
    assert [cell.get("execution_count") for cell in after.cells] == [None, 1, 2]
    assert after.cells[2].outputs[0].metadata["image/png"]["alt"] == 'a "grey" pixel'
    assert after.metadata.kernelspec.name == "python3"
    assert "version" not in after.metadata.language_info
    assert all("execution" not in cell.metadata for cell in after.cells)
    assert not (course / "build" / "notebooks").exists()


def test_in_place_is_for_the_built_in_settings(course, capsys):
    before = (course / "notebooks" / "00_one.ipynb").read_bytes()
    assert run(course, "--in-place") == 1
    assert "COURSE_SIZE" in capsys.readouterr().err
    assert (course / "notebooks" / "00_one.ipynb").read_bytes() == before


def test_captions_at_the_end(course, capsys):
    examples = [
        {"file": f"scene_{n}.jpg", "caption": f"a ball {n}", "references": [f"one {n}", f"two {n}", f"three {n}"]}
        for n in range(7)
    ]
    write_json(examples, course / "data" / "scenes_small" / "inception_v3" / "example_captions.json")
    assert run(course, "00") == 0
    out = capsys.readouterr().out
    assert re.search(r"scene_4\.jpg\n +model +a ball 4\n +people +one 4\n +two 4", out)
    assert "scene_5" not in out


def test_captions_without_references():
    assert "a ball" in run_course.captions_as_text([{"file": "x.jpg", "caption": "a ball", "references": []}])


def test_the_advanced_notebooks_run_when_they_are_asked_for(course, capsys):
    write(notebook("# Seven", code("print('far')")), course / "notebooks" / "07_seven.ipynb")
    far = course / "build" / "notebooks" / "07_seven.ipynb"
    assert run(course) == 0 and not far.exists()
    assert run(course, "--all") == 0 and far.exists()
    assert runs(course) == 1, "finished notebooks are used again"

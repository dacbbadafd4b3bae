"""The set-up in Colab, tried on a stand-in: downloads, versions, packages, GPU, Drive, and what comes before."""

import io
import os
import random
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pytest
from colab_samples import ARCHIVE, SETUP_FILE, Colab, copy_project, course_archive, project_files
from download_server import Server, running

import setup_google_colab as setup
from say_what_you_see.commands.main import main
from say_what_you_see.core.environment import NOT_IN_COLAB
from tools.include_lessons import first_cell_source
from tools.notebooks import NOTEBOOKS, REPOSITORY, code_cells, read_notebook

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Colab runs on Linux")

SMALL = ["requirements.txt", "pyproject.toml", "notebooks/00_start_here.ipynb"]
SMALL += [path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "say_what_you_see").rglob("*.py")]
NEEDED = ["requirements.txt", "say_what_you_see/__init__.py", "notebooks/00_start_here.ipynb"]
HERE = f"say-what-you-see-{setup.REVISION}"
NOTEBOOK = "02_extract_embeddings"
LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
EXERCISES = sorted((NOTEBOOKS / "exercises").glob("*.ipynb"))


@pytest.fixture
def host():
    """A stand-in for the host that the code is downloaded from."""
    with running(Server()) as server:
        server.files = {ARCHIVE: course_archive(SMALL), SETUP_FILE: Path(setup.__file__).read_bytes()}
        yield server


@pytest.fixture
def machine(tmp_path, host) -> Callable[..., Colab]:
    """Makes the machine, with packages in other versions than Colab's, or without them."""
    return lambda **packages: Colab(tmp_path, host.url, {key.replace("_", "-"): packages[key] for key in packages})


def cell(name: str = NOTEBOOK, arguments: str = "") -> str:
    """The first cell of a notebook, with arguments as a learner would add them."""
    return first_cell_source(PurePosixPath(f"notebooks/{name}.ipynb")).replace(f'"{name}")', f'"{name}"{arguments})')


def first_code(path: Path) -> str:
    """What a committed notebook has in its first cell of code."""
    return code_cells(read_notebook(path))[0].source


def said(result: subprocess.CompletedProcess) -> str:
    """What a successful run printed."""
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def complaint(result: subprocess.CompletedProcess) -> str:
    """The error, without the traceback, of a run that failed as it should."""
    assert result.returncode == 1, result.stdout
    return result.stderr[re.search(r"^\S*(SetupError|RuntimeError): ", result.stderr, re.MULTILINE).start() :]


@pytest.mark.parametrize("path", [LESSONS[0], LESSONS[6], EXERCISES[0]], ids=lambda path: path.stem)
def test_the_first_cell_sets_up_the_course(path, machine, host):
    host.files[ARCHIVE], colab = course_archive(project_files()), machine()  # all that a commit would hold
    look = "import os, say_what_you_see.core.settings as s\n"
    look += "print(os.getcwd(), s.__file__, s.read_settings().data_folder, sep='\\n')"
    lines = said(colab.run(f"{first_code(path)}\n{look}")).splitlines()
    folder = colab.start / HERE
    waits = f"The course is set up, but {path.stem} needs those files first."
    assert lines[-4] == (waits if path.stem in setup.STEPS_BEFORE else f"{path.stem} is ready: run the cells below.")
    assert lines[-3:] == [
        str(folder / "notebooks"),
        str(folder / "say_what_you_see" / "core" / "settings.py"),
        str(folder / "data"),
    ]
    assert (folder / "say_what_you_see" / "shipped" / "inception_v3_scenes.weights.h5").stat().st_size > 1e6
    added = {re.split("[<>=]", name)[0] for call in colab.pip_calls for name in call["wanted"]}
    assert added == set(setup.EXTRA_PACKAGES.get(path.stem, ()))
    assert {entry.name for entry in colab.start.iterdir()} - {"__pycache__"} == {"setup_google_colab.py", HERE}


@pytest.mark.parametrize("path", [LESSONS[0], EXERCISES[0]], ids=lambda path: path.stem)
def test_elsewhere_the_first_cell_does_nothing(path, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", None)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = (list(sys.path), dict(os.environ))
    exec(first_code(path), {})
    assert capfd.readouterr() == ("", "") and not list(tmp_path.iterdir())
    assert (sys.path[1:], dict(os.environ)) == before and Path.cwd() == tmp_path
    assert (path.parent / sys.path[0] / "utils").is_dir()


def test_calling_it_again_asks_nobody_and_a_new_session_for_the_setup_only(machine, host):
    colab = machine()
    again = f"{cell()}\nimport os, urllib.request\nurllib.request.urlopen = None\n{cell()}\nprint(os.getcwd())"
    output = said(colab.run(again))
    assert output.count(f"{NOTEBOOK} is ready") == 2 and "drive=True" in output
    assert "No GPU" in output and "Runtime > Change runtime type > T4 GPU" in output
    assert output.splitlines()[-1] == str(colab.start / HERE / "notebooks")
    assert host.paths == [SETUP_FILE, ARCHIVE]
    (colab.start / HERE / "mine").touch()
    said(colab.run(cell()))
    assert host.paths == [SETUP_FILE, ARCHIVE, SETUP_FILE] and (colab.start / HERE / "mine").exists()


def test_a_clone_is_used_as_it_is(machine, host):
    colab = machine()
    copy_project(colab.start / "clone", [*SMALL, "setup_google_colab.py"])
    source = "import os, sys; sys.path.insert(0, 'clone'); from setup_google_colab import *\n"
    source += f"setup_notebook('{NOTEBOOK}'); print(os.getcwd(), os.environ['COURSE_START'], sep='\\n')"
    lines = said(colab.run(source)).splitlines()
    assert lines[-2:] == [str(colab.start / "clone" / "notebooks"), str(colab.start)]
    assert host.paths == []


# Downloads


def assert_nothing_is_left(colab: Colab) -> None:
    assert {path.name for path in colab.start.iterdir()} <= {"setup_google_colab.py", "__pycache__"}


def test_offline_the_first_cell_says_so(tmp_path):
    colab = Colab(tmp_path, "http://127.0.0.1:9")
    message = complaint(colab.run(cell()))
    assert f"Cannot download {setup.RAW_URL}/setup_google_colab.py" in message and "run this cell again" in message
    assert_nothing_is_left(colab)


@pytest.mark.parametrize(("fault", "answers", "text"), [
    ("statuses", [503] * 3, "503"), ("cut_after", [1000] * 3, "IncompleteRead"), ("statuses", [404], "(404)"),
])  # fmt: skip
def test_a_failed_download_says_why_and_starts_over(fault, answers, text, machine, host):
    colab = machine()
    (colab.start / ".part-course-abc" / "unpacked").mkdir(parents=True)  # which a killed download has left
    setattr(host, fault, [None, *answers])  # the file that sets up comes first
    message = complaint(colab.run(cell()))
    assert message.startswith("setup_google_colab.SetupError") and setup.ARCHIVE_URL in message and text in message
    assert host.paths == [SETUP_FILE, *([ARCHIVE] * len(answers))]
    assert_nothing_is_left(colab)
    assert f"{NOTEBOOK} is ready" in said(colab.run(cell()))


@pytest.fixture
def served(tmp_path, monkeypatch, host, no_proxy) -> dict[str, bytes]:
    """What the host has for a setup in this process, which goes into an empty folder."""
    monkeypatch.setattr(setup, "course_folder", lambda: tmp_path / "course")
    monkeypatch.setattr(setup, "PAUSES", ())
    monkeypatch.setattr(setup, "ARCHIVE_URL", host.url + ARCHIVE)
    return host.files


def test_a_damaged_archive_is_whole_or_refused(served, tmp_path):
    sound, rng = course_archive(NEEDED), random.Random(0)
    for _ in range(150):
        damaged = bytearray(sound)
        for _ in range(4):
            place = rng.choice([rng.randrange(len(sound)), -1 - rng.randrange(300)])  # the directory is at the end
            damaged[place] = rng.randrange(256)
        served[ARCHIVE] = bytes(damaged)
        with suppress(setup.SetupError):
            assert setup.is_whole(setup.download_github_code())
        assert not [path for path in tmp_path.iterdir() if path.name != "course"]
        shutil.rmtree(tmp_path / "course", ignore_errors=True)


def test_an_archive_that_is_endless_or_of_very_much_or_of_another_release_is_refused(served, tmp_path, monkeypatch):
    monkeypatch.setattr(setup, "MAX_BYTES", 10_000)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(10_001))
    other = course_archive([], {name: b'__version__ = "9.9.9"\n' for name in NEEDED})
    reasons = {bytes(10_001): "has more than 10,000", packed.getvalue(): "claims to hold more than",
               other: f"is not release {setup.REVISION}"}  # fmt: skip
    for served[ARCHIVE], reason in reasons.items():
        with pytest.raises(setup.SetupError, match=reason):
            setup.download_github_code()
        assert list(tmp_path.iterdir()) == []


# Versions


@pytest.mark.parametrize(("packages", "pip", "texts"), [
    ({"tensorflow": "2.15.0"}, "", ["2.15.0 is too old: the course needs >=2.18,<2.22", "> Change runtime type"]),
    ({"tensorflow": None}, "", ["This runtime has no TensorFlow", "Runtime > Change runtime type"]),
    ({}, "fails", ["Cannot add pycocoevalcap>=1.2,<2", "ResolutionImpossible"]),
    ({}, "replaces NumPy", ["pip replaced numpy 2.0.2", "delete runtime"]),
])  # fmt: skip
def test_packages_that_do_not_fit_stop_it_and_it_says_what_to_do(packages, pip, texts, machine):
    colab = machine(**packages)
    message = complaint(colab.run(cell("06_evaluate_captions"), STAND_IN_PIP=pip))
    assert all(text in message for text in texts)
    assert len(colab.pip_calls) == bool(pip)


def test_a_newer_version_is_tried_and_said_and_a_gpu_is_named(machine):
    colab = machine(tensorflow="2.22.0")
    (colab.programs / "nvidia-smi").write_text("#!/bin/sh\necho Tesla T4\n")
    (colab.programs / "nvidia-smi").chmod(0o755)
    output = said(colab.run(cell()))
    assert "2.22.0 is newer than what the course was tested with" in output
    assert "choose an earlier runtime version" in output and f"{NOTEBOOK} is ready" in output
    assert "[OK]   GPU: Tesla T4" in output and "No GPU" not in output


@pytest.mark.parametrize(("version", "wanted", "expected"), [
    ("2.18.0", ">=2.18,<2.22", 0), ("2.18", ">=2.18.0,<3", 0), ("2.21.9", ">=2.18,<2.22", 0),
    ("2.22.0", ">=2.18,<2.22", 1), ("2.22.0rc1", ">=2.18,<2.22", 1), ("2.9.1", ">=2.18,<2.22", -1),
    ("10.0", ">=9,<10", 1), ("1.26.4.post1", ">=1.26,<3", 0), ("2.9.0+cu126", ">=2,<3", 0), ("3", ">=3.0.0,<4", 0),
])  # fmt: skip
def test_versions_are_compared_as_numbers(version, wanted, expected):
    assert setup.compare_version(version, wanted) == expected


def test_every_requirement_is_either_set_up_or_not_needed_in_colab():
    everywhere = {*setup.PACKAGES, *(name for names in setup.NEVER_REPLACED.values() for name in names)}
    extra = {name for names in setup.EXTRA_PACKAGES.values() for name in names}
    assert set(setup.read_ranges(REPOSITORY)) == everywhere | NOT_IN_COLAB
    assert not everywhere & NOT_IN_COLAB and extra <= NOT_IN_COLAB


# Packages


def test_only_what_is_missing_is_installed_and_everything_else_is_held(machine):
    colab = machine(tqdm=None)
    assert "Added tqdm>=4.66,<5, pycocoevalcap>=1.2,<2" in said(colab.run(cell("06_evaluate_captions")))
    [call] = colab.pip_calls
    assert call["wanted"] == ["tqdm>=4.66,<5", "pycocoevalcap>=1.2,<2"]
    assert {"tensorflow==2.19.0", "keras==3.10.0", "numpy==2.0.2", "torch==2.9.0+cpu"} <= set(call["constraints"])
    assert not {"-r", "--requirement", "--upgrade", "-U", "--force-reinstall"} & set(call["arguments"])
    said(colab.run(cell("06_evaluate_captions")))
    assert len(colab.pip_calls) == 1


# Google Drive


def test_what_is_in_drive_outlives_the_runtime(machine, tmp_path):
    colab, drive = machine(), tmp_path / "drive of the learner"
    drive.mkdir()
    leave = "\nimport os, pathlib\npathlib.Path(os.environ['COURSE_DATA'], 'checkpoint').write_text('epoch 7')"
    source = cell(arguments=", drive=True")
    output = said(colab.run(source + leave + "\n" + source, STAND_IN_DRIVE=str(drive)))
    place = colab.start / "drive" / "MyDrive" / "say-what-you-see"
    assert output.count(f"The notebooks' files go to {place}") == 2
    shutil.rmtree(colab.start)  # as happens some minutes after the last click
    colab.start.mkdir()
    read = "\nimport os, pathlib\nprint(pathlib.Path(os.environ['COURSE_DATA'], 'checkpoint').read_text())"
    assert said(colab.run(source + read, STAND_IN_DRIVE=str(drive))).endswith("epoch 7\n")


def test_who_declines_goes_on_without_drive(machine):
    look = "\nimport os\nprint(os.environ.get('COURSE_DATA'))"
    output = said(machine().run(cell(arguments=", drive=True") + look))
    assert "Google Drive is not connected (mount failed)" in output
    assert f"{NOTEBOOK} is ready" in output and output.endswith("None\n")


# What comes first

# Stands in for the course's commands: leaves the files that the real ones leave, and says which it is.
COMMANDS = """
import os, pathlib, sys
from setup_google_colab import STEPS
from say_what_you_see.core.settings import read_settings
step = " ".join(sys.argv[1:])
if step == os.environ.get("STAND_IN_BREAKS"):
    sys.exit("Error: the disk is full")
path = read_settings().work_folder / STEPS[step][1]
path.parent.mkdir(parents=True, exist_ok=True)
path.touch()
print("did", step)
"""


@pytest.fixture
def with_commands(host) -> None:
    changed = {"say_what_you_see/__main__.py": COMMANDS.encode(), "setup_google_colab.py": host.files[SETUP_FILE]}
    host.files[ARCHIVE] = course_archive(SMALL, changed)


def test_what_comes_first_is_named_and_done_on_request_and_only_once(machine, with_commands):
    colab, source = machine(), cell("05_generate_captions", ", prepare=True")
    output = said(colab.run(cell("05_generate_captions")))
    assert "02_extract_embeddings, 03_prepare_captions and 04_train_decoder" in output
    assert 'setup_notebook("05_generate_captions", prepare=True)' in output and "is ready" not in output
    output = said(colab.run(source))
    done = re.findall(r"\[OK\]   did (.*) \(\d+ s\)", output)
    assert done == ["embed", "prepare", "train", "train --control"] and "05_generate_captions is ready" in output
    again = said(colab.run(source))
    assert "did" not in again and "prepare=True" not in again


def test_a_step_that_fails_says_why(machine, with_commands):
    colab, source = machine(), cell("05_generate_captions", ", prepare=True")
    message = complaint(colab.run(source, STAND_IN_BREAKS="prepare"))
    assert "`python -m say_what_you_see prepare` failed" in message and "the disk is full" in message
    assert "did embed" not in said(colab.run(source))


def test_the_steps_leave_the_files_that_tell_that_they_are_done(course_environ, copied_course, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA", str(copied_course.data_folder))
    assert setup.missing_steps("05_generate_captions") == ["train --control"]
    assert main(["train", "--control"]) == 0
    assert "checkpoints_control" in capsys.readouterr().out
    assert setup.missing_steps("05_generate_captions") == []
    for step, (_, last) in setup.STEPS.items():
        path = copied_course.work_folder / last
        path.rename(path.with_name("away"))
        assert setup.missing_steps("05_generate_captions") == [step]
        path.with_name("away").rename(path)

"""JupyterLab itself in a real browser: a notebook of the course from start to end, and the demonstration's widget."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from demo_browser import Browser, chromium, wait_until
from demo_samples import drawn
from PIL import Image

from say_what_you_see.serving.captioner import generate_caption, load_captioner
from say_what_you_see.vision.pictures import crop_and_resize
from tools.notebooks import NOTEBOOKS, REPOSITORY

pytestmark = pytest.mark.full  # it starts a server, a browser and kernels

WATCH = """(() => {
    window.seen = { bars: [], plots: {} };
    const look = () => document.querySelectorAll('.jp-CodeCell').forEach((cell, number) => {
        for (const text of cell.querySelectorAll('[data-mime-type="application/vnd.jupyter.stderr"]'))
            for (const [bar] of text.innerText.matchAll(/\\d+%\\|/g)) if (!seen.bars.includes(bar)) seen.bars.push(bar);
        for (const { src } of cell.querySelectorAll('.jp-OutputArea img')) {
            seen.plots[number] ??= [];
            if (!seen.plots[number].includes(src)) seen.plots[number].push(src);
        }
    });
    new MutationObserver(look).observe(document.body, { childList: true, subtree: true, characterData: true });
})()"""
UNFINISHED = """[...document.querySelectorAll('.jp-CodeCell:not(.jp-mod-noInput) .jp-InputPrompt')]
    .filter((prompt) => !/^\\[\\d+\\]:$/.test(prompt.innerText.trim())).length"""
ERRORS = """[...document.querySelectorAll('[data-mime-type="application/vnd.jupyter.error"], .jp-Dialog')]
    .map((element) => element.innerText)"""

WIDGET = """
import numpy as np
from say_what_you_see.serving.captioner import load_captioner
from utils.widget import show_caption_widget
from say_what_you_see.core.settings import read_settings

settings = read_settings()
captioner = load_captioner(settings.model_folder, settings)
show_caption_widget(captioner, [np.full((40, 40, 3), shade, "uint8") for shade in (20, 200)])
"""


@contextmanager
def jupyterlab(folder: Path, environ: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Start JupyterLab on a folder, with settings of its own; gives its address and its token."""
    places = {name: str(folder / ".jupyter" / name.lower()) for name in (
        "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR",
        "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR",
    )}  # fmt: skip
    settings = Path(places["JUPYTERLAB_SETTINGS_DIR"]) / "@jupyterlab"
    chosen = {
        "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are in the page, seen or not
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    }
    for name, values in chosen.items():
        path = settings / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("COURSE_", "JPY_", "JUPYTER"))
    }
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    if "JUPYTER_PATH" in os.environ:
        places["JUPYTER_PATH"] = os.environ["JUPYTER_PATH"]
    everything = {**inherited, **environ, **places, "PYTHONPATH": os.pathsep.join(paths)}
    everything.pop("COURSE_PROGRESS", None)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0",
        f"--ServerApp.root_dir={folder}", *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
    ]  # fmt: skip
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=everything, stdout=log, stderr=log)
    try:
        runtime = Path(places["JUPYTER_RUNTIME_DIR"])
        facts = json.loads(wait_until(lambda: _first_text(runtime, "jpserver-*.json"), process, 120))
        yield facts["url"], facts["token"]
    finally:
        process.terminate()
        process.wait(timeout=60)


def _first_text(folder: Path, pattern: str) -> str:
    texts = [path.read_text() for path in folder.glob(pattern)]
    return texts[0] if texts and texts[0].rstrip().endswith("}") else ""


@pytest.fixture(scope="module")
def folder(finished_course, tmp_path_factory) -> Path:
    """Notebook 04 without outputs, and one with the widget."""
    folder = tmp_path_factory.mktemp("lab")
    notebook = nbformat.read(NOTEBOOKS / "04_train_decoder.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, folder / "04_train_decoder.ipynb")
    cells = [nbformat.v4.new_code_cell(WIDGET.strip())]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata), folder / "widget.ipynb")
    return folder


@pytest.fixture(scope="module")
def lab(finished_course, folder, tmp_path_factory):
    """JupyterLab, with what the course has made up to notebook 03, and its model."""
    data = tmp_path_factory.mktemp("lab_data") / "data"
    untrained = shutil.ignore_patterns("checkpoints*")
    shutil.copytree(finished_course.settings.data_folder, data, ignore=untrained)
    with jupyterlab(folder, {**finished_course.environ, "COURSE_DATA": str(data)}) as server:
        yield server


@pytest.fixture
def browser(tmp_path) -> Iterator[Browser]:
    with chromium(tmp_path / "chromium") as started:
        started.look(1400, 1000)
        yield started


def open_and_run_all(browser: Browser, lab: tuple[str, str], name: str) -> None:
    """Open a notebook as a reader does, and run it by the menu."""
    url, token = lab
    browser.open(f"{url}lab/workspaces/{name.partition('.')[0]}/tree/{name}?token={token}")
    browser.wait_for("document.querySelector('.jp-Notebook .jp-CodeCell')", 120)
    browser.wait_for("/^Python 3/.test(document.querySelector('.jp-KernelName')?.innerText)", 120)
    browser.wait_for("document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')", 120)
    browser.run(WATCH)
    click_text(browser, ".lm-MenuBar-itemLabel", "Run")
    click_text(browser, ".lm-Menu-itemLabel", "Run All Cells")


def click_text(browser: Browser, selector: str, text: str) -> None:
    """Click the element that has exactly this text."""
    found = f"[...document.querySelectorAll('{selector}')].find((one) => one.innerText.trim() === '{text}')"
    browser.wait_for(found)
    browser.run(f"{found}.setAttribute('data-wanted', '{text}')")
    browser.click(f"[data-wanted='{text}']")


def test_notebook_04_runs_in_jupyterlab_with_moving_bars_and_a_live_plot(browser, lab):
    open_and_run_all(browser, lab, "04_train_decoder.ipynb")
    browser.wait_for(f"!{UNFINISHED} || {ERRORS}.length", 600)
    assert browser.run(ERRORS) == [] and browser.run(UNFINISHED) == 0
    seen = browser.run("seen")
    assert len(seen["bars"]) >= 3 and "100%|" in seen["bars"], "the progress bar moved"
    live, control = seen["plots"].values()
    assert len(live) == 2 and len(control) == 1, "the live plot was drawn anew after each of the two epochs"
    whole_pictures = (
        "[...document.querySelectorAll('.jp-OutputArea img')].filter((one) => one.naturalWidth > 300).length"
    )
    assert browser.run(whole_pictures) == 2, "both are whole pictures, and the live plot stands there once"
    assert not [problem for problem in browser.problems if "exceptionDetails" in problem or "Uncaught" in problem]


def test_the_widget_captions_an_uploaded_picture_in_jupyterlab(browser, lab, finished_course, tmp_path):
    open_and_run_all(browser, lab, "widget.ipynb")
    browser.wait_for("document.querySelectorAll('.caption-demo .steps > li').length", 180)
    photo = tmp_path / "large.png"
    Image.fromarray(drawn(3)).resize((1500, 1500)).effect_spread(3).save(photo, compress_level=0)
    assert photo.stat().st_size > 5_000_000, "it comes in several parts"
    captioner = load_captioner(finished_course.settings.model_folder, finished_course.settings)
    expected = generate_caption(captioner, crop_and_resize(photo.read_bytes(), captioner.encoder.input_shape))
    browser.drop(".caption-demo .drop", [photo])
    browser.wait_for("document.querySelector('.tile.own')")
    browser.wait_for("document.querySelector('figcaption').innerText.startsWith('large.png')")
    assert browser.text(".caption-demo .sentence") == expected
    browser.click(".caption-demo input[value=beam]")
    browser.wait_for("document.querySelectorAll('.caption-demo .others li').length === 2")
    (tmp_path / "broken.png").write_text("no picture")
    browser.drop(".caption-demo .drop", [tmp_path / "broken.png"])
    browser.wait_for("document.querySelector('.caption-demo [role=alert]').innerText.startsWith('broken.png')")

"""The widget of the demonstration in JupyterLab itself, in a real browser."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
import pytest
from demo_browser import Browser, chromium
from demo_samples import drawn
from PIL import Image
from waiting import wait_until

from say_what_you_see.decoding.generate import generate_sentences
from say_what_you_see.decoding.samplers import Greedy
from say_what_you_see.serving.captioner import load_captioner
from say_what_you_see.vision.pictures import crop_and_resize
from tools.notebooks import REPOSITORY

pytestmark = pytest.mark.full  # it starts a server, a browser and kernels

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
def jupyterlab(folder: Path, environ: dict[str, str]) -> Iterator[str]:
    """Start JupyterLab on a folder, for somebody who has never used it; gives the address without the file's name."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COURSE_", "JPY_", "JUPYTER"))}
    own = {"HOME": str(folder), "JUPYTER_TOKEN": "secret", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
               f"--ServerApp.port={port}", f"--ServerApp.root_dir={folder}"]  # fmt: skip

    def answers() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
        return False

    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, env={**kept, **environ, **own}, stdout=log, stderr=log)
    try:
        wait_until(answers, process, 120)
        yield f"http://127.0.0.1:{port}/lab/tree/%s?token=secret"
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture
def lab(finished_course, tmp_path) -> Iterator[str]:
    """JupyterLab with a notebook that shows the widget."""
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    cells = [nbformat.v4.new_code_cell(WIDGET.strip())]
    (tmp_path / "lab").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "lab" / "widget.ipynb")
    with jupyterlab(tmp_path / "lab", finished_course.environ) as server:
        yield server


@pytest.fixture
def browser(tmp_path) -> Iterator[Browser]:
    with chromium(tmp_path / "chromium") as started:
        started.look(1400, 1000)
        yield started


def open_and_run_all(browser: Browser, lab: str, name: str) -> None:
    """Open a notebook as a reader does, and run it by the menu."""
    browser.open(lab % name)
    browser.wait_for("document.querySelector('.jp-Notebook .jp-CodeCell')", 120)
    browser.wait_for("/^Python 3/.test(document.querySelector('.jp-KernelName')?.innerText)", 120)
    browser.wait_for("document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')", 120)
    click_text(browser, ".lm-MenuBar-itemLabel", "Run")
    click_text(browser, ".lm-Menu-itemLabel", "Run All Cells")


def click_text(browser: Browser, selector: str, text: str) -> None:
    """Click the element that has exactly this text."""
    found = f"[...document.querySelectorAll('{selector}')].find((one) => one.innerText.trim() === '{text}')"
    browser.wait_for(found)
    browser.run(f"{found}.setAttribute('data-wanted', '{text}')")
    browser.click(f"[data-wanted='{text}']")


def test_the_widget_captions_an_uploaded_picture_in_jupyterlab(browser, lab, finished_course, tmp_path):
    open_and_run_all(browser, lab, "widget.ipynb")
    browser.wait_for("document.querySelectorAll('.caption-demo .steps > li').length", 180)
    photo = tmp_path / "large.png"
    Image.fromarray(drawn(3)).resize((1500, 1500)).effect_spread(3).save(photo, compress_level=0)
    assert photo.stat().st_size > 5_000_000, "it comes in several parts"
    captioner = load_captioner(finished_course.settings.model_folder, finished_course.settings)
    embeds = captioner.embed(crop_and_resize(photo.read_bytes(), captioner.encoder.input_shape)[None])
    (expected,) = generate_sentences(captioner.model, embeds, captioner.vocab, Greedy(no_repeat_ngram_size=3))
    browser.drop(".caption-demo .drop", [photo])
    browser.wait_for("document.querySelector('.tile.own')")
    browser.wait_for("document.querySelector('figcaption').innerText.startsWith('large.png')")
    assert browser.text(".caption-demo .sentence") == expected
    browser.click(".caption-demo input[value=beam]")
    browser.wait_for("document.querySelectorAll('.caption-demo .others li').length === 2")
    (tmp_path / "broken.png").write_text("no picture")
    browser.drop(".caption-demo .drop", [tmp_path / "broken.png"])
    browser.wait_for("document.querySelector('.caption-demo [role=alert]').innerText.startsWith('broken.png')")

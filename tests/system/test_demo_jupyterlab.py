"""The widget of the demonstration in JupyterLab itself, in a real browser."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from demo_samples import drawn
from notebook_samples import code, notebook, write
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


@pytest.fixture
def lab(finished_course, tmp_path) -> Iterator[str]:
    """JupyterLab, for somebody who has never used it, with a notebook that shows the widget; the notebook's address."""
    folder = write(notebook(code(WIDGET.strip())), tmp_path / "lab" / "widget.ipynb").parent
    from say_what_you_see.training.scale.workers import free_ports  # which needs TensorFlow

    [port] = free_ports(1)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COURSE_", "JPY_", "JUPYTER"))}
    own = {"HOME": str(folder), "JUPYTER_TOKEN": "secret", "PYTHONPATH": str(REPOSITORY)}
    environ = kept | finished_course.environ | own
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
               f"--ServerApp.port={port}", f"--ServerApp.root_dir={folder}"]  # fmt: skip
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        wait_until(lambda: f":{port}/lab" in (folder / "server.log").read_text(), process, 120)
        yield f"http://127.0.0.1:{port}/lab/tree/widget.ipynb?token=secret"
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_the_widget_captions_an_uploaded_picture_in_jupyterlab(chromium_page, lab, finished_course, tmp_path):
    browser = chromium_page
    browser.look(1400, 1000)
    browser.open(lab)
    browser.wait_for("/^Python 3/.test(document.querySelector('.jp-KernelName')?.innerText)", 120)
    browser.wait_for("document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')", 120)
    browser.wait_for("document.querySelector('.jp-CodeCell .jp-InputArea-editor')")
    browser.click(".jp-CodeCell .jp-InputArea-editor")
    browser.press("Enter", shift=True)
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

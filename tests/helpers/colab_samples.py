"""A stand-in for a machine of Google Colab; nothing leaves this computer."""

import io
import json
import os
import shutil
import subprocess
import venv
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

import setup_google_colab
from tools.notebooks import REPOSITORY

ARCHIVE = setup_google_colab.ARCHIVE_URL.removeprefix("https:/")
SETUP_FILE = setup_google_colab.RAW_URL.removeprefix("https:/") + "/setup_google_colab.py"

COLAB_PACKAGES = {
    "tensorflow": "2.19.0", "keras": "3.10.0", "numpy": "2.0.2", "h5py": "3.15.1", "matplotlib": "3.10.0",
    "packaging": "25.0", "pillow": "11.3.0", "requests": "2.32.4", "scikit-learn": "1.6.1", "tensorboard": "2.19.0",
    "filelock": "3.20.3", "scipy": "1.16.3", "tqdm": "4.67.1",
    "anywidget": "0.9.21", "pycocotools": "2.0.11", "ipython": "7.34.0",
    "torch": "2.9.0+cpu",
}  # fmt: skip
"""What Colab's runtime 2026.01 brings, as far as it matters here."""

# Sends what is asked of any host to the stand-in, and does not wait between attempts.
_SITECUSTOMIZE = """
import http.client, os, time, urllib.request

class StandIn(urllib.request.HTTPSHandler):
    def https_open(self, request):
        address = request.full_url.replace("https:/", os.environ["STAND_IN_HOST"], 1)
        local = urllib.request.Request(address)
        local.timeout = request.timeout
        return self.do_open(http.client.HTTPConnection, local)

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), StandIn())
urllib.request.install_opener(opener)
time.sleep = lambda seconds: None
"""
_DRIVE = """
import os, pathlib

def mount(place):
    if "STAND_IN_DRIVE" not in os.environ:
        raise ValueError("mount failed")
    pathlib.Path(place).mkdir()
    pathlib.Path(place, "MyDrive").symlink_to(os.environ["STAND_IN_DRIVE"])
"""
# Writes down how it is called, and what must stay; "installs" the metadata of what is asked for.
_PIP = """
import json, os, pathlib, re, sys

site = pathlib.Path(__file__).parent.parent
arguments = sys.argv[1:]
constraints = pathlib.Path(arguments[arguments.index("--constraint") + 1]).read_text()
wanted = arguments[arguments.index("--constraint") + 2 :]
with open(site / "pip.log", "a") as log:
    log.write(json.dumps({"arguments": arguments, "constraints": constraints.split(), "wanted": wanted}) + "\\n")
if os.environ.get("STAND_IN_PIP") == "fails":
    sys.exit("ERROR: ResolutionImpossible: it does not fit")
for requirement in wanted:
    name, version = re.match(r"([\\w-]+)>=([\\d.]+)", requirement).groups()
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
if os.environ.get("STAND_IN_PIP") == "replaces NumPy":
    (next(site.glob("numpy-*")) / "METADATA").write_text("Metadata-Version: 2.1\\nName: numpy\\nVersion: 1.26.4\\n")
"""


class Colab:
    """A Python of its own with what Colab brings as metadata only, and an empty folder to start in.

    Attributes:
        start: the folder that notebooks start in; Colab calls it /content.
        programs: the folder in which programs are looked for.
    """

    def __init__(self, folder: Path, host: str, packages: Mapping[str, str | None] | None = None):
        versions = {**COLAB_PACKAGES, **(packages or {})}
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.start, self.programs, self._host = folder / "content", folder / "programs", host
        self.start.mkdir()
        self.programs.mkdir()
        self._python = folder / "venv" / "bin" / "python3"
        [self.site] = (folder / "venv").glob("lib/python*/site-packages")
        files = {
            "google/colab/__init__.py": "", "google/colab/drive.py": _DRIVE, "sitecustomize.py": _SITECUSTOMIZE,
            "pip/__init__.py": "", "pip/__main__.py": _PIP,
            "numpy/__init__.py": f"__version__ = {versions['numpy']!r}\nndarray = object\n",
        }  # fmt: skip
        for name, version in versions.items():
            metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            files |= {f"{name.replace('-', '_')}-{version}.dist-info/METADATA": metadata} if version else {}
        for name, text in files.items():
            (self.site / name).parent.mkdir(parents=True, exist_ok=True)
            (self.site / name).write_text(text, encoding="utf-8")

    def run(self, source: str, **environ: str) -> subprocess.CompletedProcess:
        """Run source text in a new runtime that sees the same disk."""
        inherited = {key: os.environ[key] for key in ("TMPDIR", "LANG") if key in os.environ}
        values = {"PATH": str(self.programs), "STAND_IN_HOST": self._host, "HOME": str(self.start.parent), **environ}
        command = [str(self._python), "-c", f"import google.colab\n{source}"]
        return subprocess.run(
            command, cwd=self.start, env={**inherited, **values}, capture_output=True, text=True, timeout=60
        )

    @property
    def pip_calls(self) -> list[dict]:
        """What pip was called with."""
        log = self.site / "pip.log"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def course_archive(names: list[str], changed: Mapping[str, bytes] | None = None) -> bytes:
    """A zip of files of the course as the code host packs them, in one folder; some with another content."""
    files, packed = {name: (REPOSITORY / name).read_bytes() for name in names} | (changed or {}), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(f"say-what-you-see-0.2.0/{name}"), content)
    return packed.getvalue()


def project_files() -> list[str]:
    """The files that a commit of the present state would hold."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True) if shutil.which("git") else None
    if result is None or result.returncode:
        pytest.skip("this is no clone, or git is not installed")
    return [name for name in result.stdout.split("\0") if name and (REPOSITORY / name).is_file()]


def copy_project(folder: Path, names: Iterable[str] | None = None) -> Path:
    """A fresh clone of the present state, or of some of its files."""
    for name in project_files() if names is None else names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, folder / name)
    return folder

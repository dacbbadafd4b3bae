"""The colours of plots can be told apart by colour-blind people, and plots use no others.

Simulated with the matrices of Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color
Vision Deficiency" (IEEE TVCG 15(6), 2009, https://doi.org/10.1109/TVCG.2009.113), at full severity; they apply to
linear RGB. The authors call theirs for tritan deficiencies an approximation.
"""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from say_what_you_see.core.settings import REPOSITORY
from say_what_you_see.evaluation.palette import PALETTE
from say_what_you_see.page.server import PAGE_FOLDER

SIMULATION = {
    "usual vision": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
WHITE = [0.95047, 1.0, 1.08883]
LEAST_DISTANCE = 15.0
"""In CIELAB (1976), where about 2.3 is the least difference that is seen when two colours touch."""
LEAST_CONTRAST = 2.9
"""Against white, by WCAG's formula, which asks for 3 in graphics; pink, at 2.9, is only used as a fifth colour."""
SIDE_BY_SIDE = {"plots": PALETTE, "page, light": ("#0072b2", "#d55e00"), "page, dark": ("#56b4e9", "#e69f00")}


def linear(colour: str) -> np.ndarray:
    """sRGB as '#rrggbb' to linear light, (3,)."""
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    """Linear light to CIELAB, (3,)."""
    xyz = np.array(TO_XYZ) @ light / WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(first: str, second: str, vision: str) -> float:
    """How far two colours are apart for somebody with this vision."""
    seen = [lab(np.clip(np.array(SIMULATION[vision]) @ linear(colour), 0, 1)) for colour in (first, second)]
    return float(np.linalg.norm(seen[0] - seen[1]))


@pytest.mark.parametrize("vision", SIMULATION)
@pytest.mark.parametrize("where", SIDE_BY_SIDE)
def test_colours_that_stand_side_by_side_can_be_told_apart(where, vision):
    for first, second in itertools.combinations(SIDE_BY_SIDE[where], 2):
        assert distance(first, second, vision) >= LEAST_DISTANCE, (first, second)


def test_colours_are_dark_enough_on_white():
    for colour in PALETTE:
        luminance = np.array(TO_XYZ)[1] @ linear(colour)
        assert 1.05 / (luminance + 0.05) >= LEAST_CONTRAST, colour


def test_the_page_uses_the_colours_that_were_looked_at():
    css = (PAGE_FOLDER / "demo.css").read_text(encoding="utf-8").lower()
    used = re.findall(r"--blue: (#\w{6}); --orange: (#\w{6})", css)
    assert {SIDE_BY_SIDE["page, light"], SIDE_BY_SIDE["page, dark"]} == set(used)


def test_modules_that_plot_use_no_colours_of_their_own():
    own = re.compile(r"""["'](?:#[0-9a-fA-F]{3,8}|C\d|tab:\w+|red|green|blue|orange|purple|yellow|[rgbcmy])["']""")
    modules = [*REPOSITORY.glob("utils/*.py"), *REPOSITORY.glob("say_what_you_see/evaluation/*.py")]
    for path in modules:
        text = path.read_text(encoding="utf-8")
        if "import matplotlib" in text and path.name != "palette.py":
            assert not own.findall(text), path

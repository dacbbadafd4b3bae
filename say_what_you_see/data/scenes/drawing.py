"""Draws a scene as a picture: a place with things in it, as a child might paint them."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from say_what_you_see.data.scenes.scene import CROP_SIDE, PALETTE, RGB, Scene, Thing

_SCALE = 2
"""Pictures are drawn this many times larger and reduced, which smooths the edges."""


def draw_scene(scene: Scene) -> Image.Image:
    """Draw a scene; returns an RGB picture of `scene.image_size` pixels."""
    rng = np.random.default_rng(scene.seed)
    width, height = (side * _SCALE for side in scene.image_size)
    image = _draw_place(scene.place, width, height, rng)
    pen = ImageDraw.Draw(image)
    for thing in scene.things:
        _DRAWERS[thing.kind](Brush(pen, thing, scene, rng))
    return image.reduce(_SCALE)


def draw_crop(scene: Scene) -> np.ndarray:
    """The centre crop of a drawn scene: uint8, (300, 300, 3)."""
    left, top = scene.crop_offset
    return np.asarray(draw_scene(scene).crop((left, top, left + CROP_SIDE, top + CROP_SIDE)))


class Brush:
    """Draws in a thing's own coordinates: (0, 0) is the top left corner of its box, (1, 1) the bottom right."""

    def __init__(self, pen: ImageDraw.ImageDraw, thing: Thing, scene: Scene, rng: np.random.Generator) -> None:
        (left, top, width, height), (offset_x, offset_y) = thing.box, scene.crop_offset
        self.corner = (left + offset_x) * _SCALE, (top + offset_y) * _SCALE
        self.size = width * _SCALE, height * _SCALE
        self.pen, self.flipped = pen, thing.flipped
        self.colour = _vary(PALETTE[thing.colour], rng, 12)
        self.light = _mix(self.colour, (255, 255, 255), 0.35)
        self.dark = _mix(self.colour, (0, 0, 0), 0.3)
        if max(PALETTE[thing.colour]) < 70:  # details on a dark thing must be lighter, or they vanish
            self.dark = (78, 78, 84)
        self.outline = (205, 205, 215) if scene.place == "night" else (60, 60, 66)
        self.stroke = max(2, round(min(self.size) * 0.02))

    def points(self, *points: tuple[float, float]) -> list[tuple[float, float]]:
        """Convert points from the box's own coordinates to pixels of the picture."""
        last_x, last_y = self.size[0] - 1, self.size[1] - 1
        return [
            (self.corner[0] + (1 - x if self.flipped else x) * last_x, self.corner[1] + y * last_y) for x, y in points
        ]

    def ellipse(self, left: float, top: float, right: float, bottom: float, fill: RGB, outlined: bool = True) -> None:
        (x0, y0), (x1, y1) = self.points((left, top), (right, bottom))
        box = (min(x0, x1), y0, max(x0, x1), y1)
        self.pen.ellipse(box, fill=fill, outline=self.outline if outlined else None, width=self.stroke)

    def polygon(self, *points: tuple[float, float], fill: RGB, outlined: bool = True) -> None:
        outline = self.outline if outlined else None
        self.pen.polygon(self.points(*points), fill=fill, outline=outline, width=self.stroke)

    def line(self, *points: tuple[float, float], fill: RGB, width: float = 0.03) -> None:
        """A line through points; width is a fraction of the box's shorter side."""
        pixels = max(2, round(min(self.size) * width))
        self.pen.line(self.points(*points), fill=fill, width=pixels, joint="curve")

    def rectangle(self, left: float, top: float, right: float, bottom: float, fill: RGB, outlined: bool = True) -> None:
        self.polygon((left, top), (right, top), (right, bottom), (left, bottom), fill=fill, outlined=outlined)


def _mix(colour: RGB, other: RGB, fraction: float) -> RGB:
    return tuple(round(a + (b - a) * fraction) for a, b in zip(colour, other, strict=True))


def _vary(colour: RGB, rng: np.random.Generator, amount: int) -> RGB:
    return tuple(int(np.clip(channel + rng.integers(-amount, amount + 1), 0, 255)) for channel in colour)


def _gradient(width: int, height: int, top: RGB, bottom: RGB) -> Image.Image:
    """A picture that goes from one colour at the top to another at the bottom."""
    steps = np.linspace(0, 1, max(height, 1))[:, None]
    rows = np.asarray(top) + (np.asarray(bottom) - np.asarray(top)) * steps
    pixels = np.broadcast_to(rows[:, None, :], (rows.shape[0], width, 3))
    return Image.fromarray(np.ascontiguousarray(pixels.round().astype(np.uint8)))


def _draw_place(place: str, width: int, height: int, rng: np.random.Generator) -> Image.Image:
    horizon = int(height * rng.uniform(0.45, 0.6))
    *colours, decorate = _PLACES[place]
    sky_top, sky_bottom, ground_top, ground_bottom = (_vary(colour, rng, 8) for colour in colours)
    image = _gradient(width, height, sky_top, sky_bottom)
    image.paste(_gradient(width, height - horizon, ground_top, ground_bottom), (0, horizon))
    decorate(ImageDraw.Draw(image), width, height, horizon, rng)
    return image


def _scatter(count: int, width: int, top: int, bottom: int, rng: np.random.Generator) -> np.ndarray:
    """Random points in a strip: (count, 2), x and y."""
    return np.stack([rng.uniform(0, width, count), rng.uniform(top, bottom, count)], axis=1)


def _hills(pen: ImageDraw.ImageDraw, width: int, horizon: int, colour: RGB, rng: np.random.Generator) -> None:
    """A soft line of hills on the horizon."""
    x = np.linspace(0, width, 40)
    waves = np.sum([np.sin(x / width * rng.uniform(3, 9) + rng.uniform(0, 6)) for _ in range(2)], axis=0)
    y = horizon - 14 - 9 * waves
    pen.polygon([*zip(x, y, strict=True), (width, horizon + 2), (0, horizon + 2)], fill=colour)


def _decorate_meadow(pen, width, height, horizon, rng) -> None:
    _hills(pen, width, horizon, _vary((120, 185, 100), rng, 8), rng)
    for x, y in _scatter(60, width, horizon + 10, height, rng):
        for lean in (-5, 0, 5):
            pen.line((x, y, x + lean, y - 12), fill=(90, 155, 70), width=2)


def _decorate_beach(pen, width, height, horizon, rng) -> None:
    shore = horizon + int(height * rng.uniform(0.08, 0.14))
    x = np.linspace(0, width, 40)
    y = shore + 6 * np.sin(x / 70 + rng.uniform(0, 6))
    line = list(zip(x, y, strict=True))
    pen.polygon([(0, horizon), (width, horizon), *reversed(line)], fill=_vary((80, 165, 200), rng, 8))
    pen.line(line, fill=(245, 250, 252), width=6)
    for px, py in _scatter(40, width, shore + 20, height, rng):
        pen.ellipse((px, py, px + 5, py + 3), fill=(205, 178, 125))


def _decorate_sea(pen, width, height, horizon, rng) -> None:
    for x, y in _scatter(45, width, horizon + 8, height, rng):
        length = 14 + 30 * (y - horizon) / (height - horizon)
        pen.arc((x, y, x + length, y + 10), 200, 340, fill=(190, 220, 235), width=3)


def _decorate_night(pen, width, height, horizon, rng) -> None:
    _hills(pen, width, horizon, (28, 36, 50), rng)
    for x, y in _scatter(70, width, 0, horizon - 30, rng):
        radius = rng.uniform(1, 2.8)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(250, 246, 215))


def _decorate_snow(pen, width, height, horizon, rng) -> None:
    _hills(pen, width, horizon, (240, 244, 249), rng)
    for x, y in _scatter(130, width, 0, height, rng):
        radius = rng.uniform(1.5, 3.5)
        colour = (255, 255, 255) if y < horizon else (200, 212, 226)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _decorate_desert(pen, width, height, horizon, rng) -> None:
    _hills(pen, width, horizon, _vary((232, 186, 120), rng, 6), rng)
    for x, y in _scatter(9, width, horizon + 20, height, rng):
        length = rng.uniform(80, 220)
        pen.arc((x - length, y, x + length, y + 40), 200, 340, fill=(190, 138, 76), width=3)


def _draw_sun(brush: Brush) -> None:
    for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False):
        tip = (0.5 + 0.5 * np.cos(angle), 0.5 + 0.5 * np.sin(angle))
        sides = [(0.5 + 0.3 * np.cos(angle + turn), 0.5 + 0.3 * np.sin(angle + turn)) for turn in (-0.2, 0.2)]
        brush.polygon(tip, *sides, fill=brush.colour)
    brush.ellipse(0.2, 0.2, 0.8, 0.8, brush.colour)


def _draw_cloud(brush: Brush) -> None:
    sides = [(0.0, 0.4, 0.4, 1.0), (0.6, 0.35, 1.0, 1.0)]
    middle = [(0.15, 0.1, 0.6, 0.85), (0.4, 0.0, 0.85, 0.8), (0.2, 0.45, 0.8, 1.0)]
    for outlined in (True, False):  # the second pass covers the lines inside
        inset = 0.0 if outlined else 0.02
        for left, top, right, bottom in sides + middle:
            box = (left + inset, top + inset * 1.6, right - inset, bottom - inset * 1.6)
            brush.ellipse(*box, brush.colour, outlined)


def _draw_tree(brush: Brush) -> None:
    brush.rectangle(0.42, 0.6, 0.58, 1.0, (120, 82, 50))
    for left, top, right, bottom in [(0.0, 0.25, 0.6, 0.72), (0.4, 0.25, 1.0, 0.72), (0.15, 0.0, 0.85, 0.55)]:
        brush.ellipse(left, top, right, bottom, brush.colour)
    brush.ellipse(0.22, 0.15, 0.78, 0.66, brush.colour, outlined=False)


def _draw_house(brush: Brush) -> None:
    brush.rectangle(0.1, 0.42, 0.9, 1.0, brush.colour)
    brush.polygon((0.0, 0.45), (0.5, 0.0), (1.0, 0.45), fill=brush.dark)
    brush.rectangle(0.58, 0.62, 0.78, 1.0, (120, 82, 50))
    brush.rectangle(0.22, 0.55, 0.45, 0.78, (205, 232, 245))
    brush.line((0.335, 0.55), (0.335, 0.78), fill=brush.outline)


def _draw_boat(brush: Brush) -> None:
    brush.line((0.48, 0.0), (0.48, 0.75), fill=(120, 82, 50), width=0.05)
    brush.polygon((0.52, 0.02), (0.52, 0.66), (0.95, 0.66), fill=brush.light)
    brush.polygon((0.44, 0.14), (0.44, 0.66), (0.12, 0.66), fill=brush.light)
    brush.polygon((0.0, 0.72), (1.0, 0.72), (0.82, 1.0), (0.18, 1.0), fill=brush.colour)


def _draw_car(brush: Brush) -> None:
    brush.polygon((0.2, 0.45), (0.32, 0.0), (0.7, 0.0), (0.84, 0.45), fill=brush.colour)
    brush.polygon((0.28, 0.42), (0.36, 0.1), (0.49, 0.1), (0.49, 0.42), fill=(205, 232, 245))
    brush.polygon((0.54, 0.42), (0.54, 0.1), (0.66, 0.1), (0.75, 0.42), fill=(205, 232, 245))
    brush.rectangle(0.0, 0.4, 1.0, 0.82, brush.colour)
    for centre in (0.24, 0.76):
        brush.ellipse(centre - 0.12, 0.58, centre + 0.12, 1.0, (52, 52, 56))
        brush.ellipse(centre - 0.05, 0.7, centre + 0.05, 0.88, (170, 170, 176))


def _draw_ball(brush: Brush) -> None:
    brush.ellipse(0.0, 0.0, 1.0, 1.0, brush.colour)
    for left, right in ((0.25, 0.75), (0.46, 0.54)):
        (x0, y0), (x1, y1) = brush.points((left, 0.0), (right, 1.0))
        brush.pen.ellipse((min(x0, x1), y0, max(x0, x1), y1), outline=brush.dark, width=brush.stroke * 2)
    brush.line((0.02, 0.5), (0.98, 0.5), fill=brush.dark, width=0.05)


def _draw_kite(brush: Brush) -> None:
    brush.polygon((0.5, 0.0), (1.0, 0.28), (0.5, 0.7), (0.0, 0.28), fill=brush.colour)
    brush.line((0.5, 0.0), (0.5, 0.7), fill=brush.dark, width=0.04)
    brush.line((0.0, 0.28), (1.0, 0.28), fill=brush.dark, width=0.04)
    brush.line((0.5, 0.7), (0.38, 0.78), (0.6, 0.86), (0.4, 0.93), (0.5, 1.0), fill=brush.outline, width=0.04)
    for x, y in ((0.4, 0.79), (0.56, 0.88)):
        left, top, right, bottom = x - 0.12, y - 0.03, x + 0.12, y + 0.03
        brush.polygon((left, top), (right, bottom), (right, top), (left, bottom), fill=brush.colour)


def _draw_fish(brush: Brush) -> None:
    brush.polygon((0.28, 0.5), (0.0, 0.08), (0.0, 0.92), fill=brush.dark)
    brush.polygon((0.4, 0.22), (0.55, 0.0), (0.7, 0.2), fill=brush.dark)
    brush.ellipse(0.18, 0.12, 1.0, 0.9, brush.colour)
    brush.ellipse(0.8, 0.34, 0.88, 0.48, (255, 255, 255))
    brush.ellipse(0.83, 0.38, 0.87, 0.46, (10, 10, 10), outlined=False)
    brush.line((0.68, 0.25), (0.63, 0.5), (0.68, 0.76), fill=brush.dark)


def _draw_bird(brush: Brush) -> None:
    brush.polygon((0.2, 0.62), (0.0, 0.42), (0.02, 0.78), fill=brush.dark)
    brush.ellipse(0.12, 0.4, 0.78, 0.92, brush.colour)
    brush.polygon((0.9, 0.4), (1.0, 0.48), (0.88, 0.54), fill=(235, 160, 40))
    brush.ellipse(0.62, 0.22, 0.93, 0.68, brush.colour)
    brush.polygon((0.3, 0.6), (0.38, 0.0), (0.62, 0.58), fill=brush.dark)
    brush.ellipse(0.79, 0.35, 0.84, 0.43, (255, 255, 255))
    brush.line((0.42, 0.9), (0.4, 1.0), fill=brush.outline)
    brush.line((0.52, 0.9), (0.5, 1.0), fill=brush.outline)


def _draw_balloon(brush: Brush) -> None:
    brush.line((0.5, 0.7), (0.42, 0.8), (0.56, 0.9), (0.5, 1.0), fill=brush.outline, width=0.05)
    brush.polygon((0.5, 0.64), (0.4, 0.72), (0.6, 0.72), fill=brush.colour)
    brush.ellipse(0.0, 0.0, 1.0, 0.67, brush.colour)
    brush.ellipse(0.2, 0.1, 0.38, 0.26, brush.light, outlined=False)


def _draw_flower(brush: Brush) -> None:
    brush.line((0.5, 0.4), (0.5, 1.0), fill=(62, 128, 58), width=0.08)
    brush.polygon((0.5, 0.85), (0.82, 0.64), (0.74, 0.84), fill=(62, 128, 58))
    for angle in np.linspace(0, 2 * np.pi, 6, endpoint=False):
        x, y = 0.5 + 0.29 * np.cos(angle), 0.31 + 0.19 * np.sin(angle)
        brush.ellipse(x - 0.21, y - 0.135, x + 0.21, y + 0.135, brush.colour)
    brush.ellipse(0.36, 0.22, 0.64, 0.4, (120, 82, 50))


_PLACES: dict[str, tuple[RGB, RGB, RGB, RGB, Callable]] = {  # the sky's colours from top to bottom, then the ground's
    "meadow": ((150, 205, 245), (215, 238, 252), (140, 200, 110), (110, 175, 85), _decorate_meadow),
    "beach": ((120, 195, 240), (225, 240, 250), (238, 216, 165), (226, 198, 140), _decorate_beach),
    "sea": ((165, 210, 235), (230, 240, 245), (70, 150, 190), (30, 95, 150), _decorate_sea),
    "night": ((14, 16, 52), (52, 54, 110), (34, 44, 50), (22, 28, 36), _decorate_night),
    "snow": ((188, 200, 214), (226, 232, 240), (236, 241, 247), (214, 224, 236), _decorate_snow),
    "desert": ((240, 200, 150), (252, 232, 200), (226, 176, 106), (205, 150, 84), _decorate_desert),
}
_DRAWERS: dict[str, Callable[[Brush], None]] = {
    "sun": _draw_sun, "cloud": _draw_cloud, "tree": _draw_tree, "house": _draw_house, "boat": _draw_boat,
    "car": _draw_car, "ball": _draw_ball, "kite": _draw_kite, "fish": _draw_fish, "bird": _draw_bird,
    "balloon": _draw_balloon, "flower": _draw_flower,
}  # fmt: skip

"""Colours and weather of the two domains: what training sees, and what only validation sees."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from admlops.synthetic.canvas import Air, Color

Span = tuple[float, float]


@dataclass(frozen=True)
class Family:
    """A family of colours: hue in degrees (may pass 360), saturation and value in 0..1."""

    hue: Span
    saturation: Span
    value: Span

    def sample(self, rng: np.random.Generator) -> Color:
        """Draw one colour, BGR in 0..255."""
        hue = rng.uniform(*self.hue) % 360 / 360
        red, green, blue = colorsys.hsv_to_rgb(hue, rng.uniform(*self.saturation), rng.uniform(*self.value))
        return blue * 255, green * 255, red * 255


def _gray(low: float, high: float) -> Family:
    return Family((0, 360), (0.0, 0.08), (low, high))


@dataclass(frozen=True)
class Weather:
    """Light and air of a scene.

    Attributes:
        name: For the record's attributes.
        sky_top: Colour family of the zenith.
        sky_bottom: Colour family of the horizon.
        ambient: Range of the overall light.
        tint: Range of the light's warmth: positive is red, negative blue.
        sun: Strength of direct light: contrast of faces and shadows.
        density: Range of haze per metre.
        is_dark: Whether lamps are lit.
        effect: "", "rain", "snow" or "glare".
    """

    name: str
    sky_top: Family
    sky_bottom: Family
    ambient: Span
    tint: Span
    sun: Span
    density: Span
    is_dark: bool = False
    effect: str = ""


@dataclass(frozen=True)
class Domain:
    """What scenes of one domain are made from.

    Attributes:
        name: "train" or "val".
        colors: Material to its colour families.
        facades: Patterns of walls.
        fences: Kinds of fences.
        weathers: Weathers.
    """

    name: str
    colors: Mapping[str, tuple[Family, ...]]
    facades: tuple[str, ...]
    fences: tuple[str, ...]
    weathers: tuple[Weather, ...]

    def color(self, material: str, rng: np.random.Generator) -> Color:
        """Draw a colour of a material."""
        families = self.colors[material]
        return families[int(rng.integers(len(families)))].sample(rng)


_SKIN = (Family((12, 32), (0.25, 0.6), (0.35, 0.95)),)

TRAIN = Domain(
    name="train",
    colors=MappingProxyType({
        "asphalt": (_gray(0.26, 0.5), _gray(0.38, 0.62), Family((215, 260), (0.04, 0.14), (0.3, 0.5))),
        "sidewalk": (_gray(0.5, 0.78), Family((28, 48), (0.08, 0.25), (0.5, 0.78)),
                     Family((200, 230), (0.03, 0.12), (0.45, 0.7))),
        "terrain": (
            Family((75, 118), (0.35, 0.65), (0.3, 0.55)),
            Family((36, 58), (0.3, 0.55), (0.45, 0.72)),
            Family((20, 34), (0.3, 0.5), (0.28, 0.5)),
        ),
        "vegetation": (
            Family((72, 128), (0.35, 0.7), (0.2, 0.5)),
            Family((22, 52), (0.5, 0.8), (0.35, 0.68)),
            Family((88, 110), (0.2, 0.45), (0.15, 0.38)),
        ),
        "trunk": (Family((18, 34), (0.2, 0.5), (0.18, 0.4)),),
        "wall": (
            _gray(0.35, 0.85),
            Family((26, 46), (0.15, 0.4), (0.5, 0.88)),
            Family((202, 232), (0.1, 0.4), (0.4, 0.75)),
            Family((2, 20), (0.3, 0.6), (0.35, 0.65)),
        ),
        "vehicle": (
            _gray(0.75, 0.98),
            _gray(0.08, 0.3),
            _gray(0.4, 0.65),
            Family((348, 368), (0.6, 0.9), (0.4, 0.8)),
            Family((205, 236), (0.4, 0.85), (0.3, 0.75)),
            Family((95, 140), (0.3, 0.7), (0.25, 0.55)),
        ),
        "cloth": (
            _gray(0.08, 0.35),
            _gray(0.6, 0.95),
            Family((340, 375), (0.5, 0.9), (0.4, 0.85)),
            Family((200, 245), (0.4, 0.85), (0.25, 0.75)),
            Family((80, 130), (0.3, 0.7), (0.3, 0.65)),
        ),
        "skin": _SKIN,
        "fence": (_gray(0.45, 0.8), Family((20, 36), (0.3, 0.6), (0.3, 0.6)), Family((95, 140), (0.3, 0.6), (0.25, 0.5))),
        "pole": (_gray(0.2, 0.65), Family((120, 160), (0.15, 0.4), (0.2, 0.4))),
        "board_back": (Family((205, 230), (0.75, 0.95), (0.5, 0.85)), _gray(0.85, 1.0),
                       Family((44, 54), (0.8, 0.95), (0.85, 1.0))),
        "rim": (Family((352, 366), (0.75, 0.95), (0.65, 0.9)),),
        "housing": (_gray(0.05, 0.2), Family((44, 52), (0.7, 0.9), (0.6, 0.85))),
    }),
    facades=("plain", "bands", "panels", "glass"),
    fences=("rail", "planks", "bars"),
    weathers=(
        Weather("clear", Family((205, 225), (0.4, 0.7), (0.6, 0.9)), Family((200, 220), (0.08, 0.3), (0.82, 1.0)),
                (0.9, 1.15), (-0.05, 0.08), (0.3, 0.45), (0.0005, 0.003)),
        Weather("clear", Family((205, 225), (0.4, 0.7), (0.6, 0.9)), Family((30, 50), (0.03, 0.15), (0.85, 1.0)),
                (0.85, 1.1), (0.0, 0.1), (0.3, 0.45), (0.0005, 0.003)),
        Weather("overcast", _gray(0.6, 0.85), _gray(0.75, 0.95), (0.75, 1.0), (-0.08, 0.02), (0.05, 0.12), (0.001, 0.005)),
        Weather("dusk", Family((215, 260), (0.3, 0.55), (0.35, 0.6)), Family((12, 35), (0.3, 0.65), (0.65, 0.95)),
                (0.5, 0.75), (0.03, 0.15), (0.1, 0.25), (0.001, 0.004), is_dark=True),
        Weather("night", Family((215, 250), (0.3, 0.6), (0.05, 0.16)), Family((215, 260), (0.15, 0.4), (0.12, 0.26)),
                (0.3, 0.48), (-0.12, 0.05), (0.05, 0.1), (0.001, 0.003), is_dark=True),
        Weather("rain", _gray(0.45, 0.65), _gray(0.55, 0.75), (0.6, 0.8), (-0.1, 0.0), (0.03, 0.08),
                (0.004, 0.009), effect="rain"),
        Weather("fog", _gray(0.7, 0.88), _gray(0.72, 0.88), (0.75, 0.95), (-0.04, 0.04), (0.03, 0.08), (0.008, 0.016)),
    ),
)  # fmt: skip
"""What training sees."""

VAL = Domain(
    name="val",
    colors=MappingProxyType({
        "asphalt": (Family((18, 44), (0.08, 0.2), (0.34, 0.58)), Family((140, 180), (0.03, 0.1), (0.3, 0.5))),
        "sidewalk": (Family((2, 20), (0.18, 0.36), (0.5, 0.74)), Family((60, 90), (0.05, 0.15), (0.5, 0.75))),
        "terrain": (Family((200, 230), (0.02, 0.1), (0.78, 0.92)), Family((4, 16), (0.35, 0.55), (0.4, 0.62)),
                    Family((130, 155), (0.25, 0.45), (0.35, 0.6))),
        "vegetation": (Family((132, 165), (0.3, 0.55), (0.22, 0.48)), Family((335, 355), (0.3, 0.55), (0.3, 0.5)),
                       Family((55, 70), (0.3, 0.5), (0.4, 0.6))),
        "trunk": (Family((0, 16), (0.1, 0.3), (0.25, 0.5)),),
        "wall": (Family((318, 345), (0.12, 0.35), (0.5, 0.8)), Family((110, 160), (0.1, 0.3), (0.45, 0.75)),
                 Family((50, 62), (0.2, 0.45), (0.6, 0.85)), Family((262, 290), (0.1, 0.3), (0.4, 0.7))),
        "vehicle": (Family((18, 42), (0.5, 0.9), (0.45, 0.9)), Family((46, 60), (0.3, 0.8), (0.5, 0.9)),
                    Family((265, 310), (0.3, 0.7), (0.25, 0.6)), Family((162, 190), (0.3, 0.7), (0.3, 0.65)), _gray(0.3, 0.4),
                    _gray(0.65, 0.75)),
        "cloth": (Family((40, 62), (0.4, 0.9), (0.5, 0.9)), Family((262, 320), (0.3, 0.8), (0.3, 0.75)),
                  Family((160, 190), (0.3, 0.8), (0.3, 0.7)), _gray(0.35, 0.6)),
        "skin": _SKIN,
        "fence": (Family((195, 225), (0.2, 0.45), (0.4, 0.7)), Family((6, 18), (0.4, 0.65), (0.35, 0.6)), _gray(0.8, 0.95)),
        "pole": (Family((28, 46), (0.15, 0.4), (0.25, 0.6)), Family((210, 235), (0.15, 0.4), (0.3, 0.55))),
        "board_back": (Family((140, 160), (0.6, 0.85), (0.35, 0.65)), Family((22, 36), (0.75, 0.95), (0.8, 1.0)),
                       Family((60, 66), (0.05, 0.15), (0.85, 1.0))),
        "rim": (Family((338, 350), (0.65, 0.85), (0.55, 0.8)), Family((12, 20), (0.75, 0.9), (0.7, 0.9))),
        "housing": (Family((140, 170), (0.2, 0.4), (0.1, 0.25)), _gray(0.2, 0.3)),
    }),
    facades=("bricks", "stripes"),
    fences=("rail", "lattice"),
    weathers=(
        Weather("snow", Family((210, 240), (0.03, 0.12), (0.62, 0.8)), Family((210, 240), (0.02, 0.08), (0.72, 0.9)),
                (0.75, 0.95), (-0.1, -0.02), (0.05, 0.1), (0.003, 0.007), effect="snow"),
        Weather("low_sun", Family((190, 215), (0.2, 0.4), (0.6, 0.8)), Family((32, 50), (0.14, 0.32), (0.85, 1.0)),
                (0.75, 1.0), (0.08, 0.18), (0.35, 0.5), (0.003, 0.007), effect="glare"),
        Weather("milky", Family((175, 200), (0.1, 0.25), (0.75, 0.92)), Family((160, 190), (0.03, 0.12), (0.85, 0.98)),
                (0.8, 1.05), (-0.06, 0.0), (0.15, 0.25), (0.002, 0.006)),
    ),
)  # fmt: skip
"""What only validation sees: other hues, patterns and weather."""


def sample_air(weather: Weather, rng: np.random.Generator) -> tuple[Air, Color, Color]:
    """Draw light and sky.

    Args:
        weather: Ranges to draw from.
        rng: Source of chance.

    Returns:
        The air, and the sky's colours at the zenith and at the horizon.
    """
    top, bottom = weather.sky_top.sample(rng), weather.sky_bottom.sample(rng)
    light, warmth = rng.uniform(*weather.ambient), rng.uniform(*weather.tint)
    ambient = (light * (1 - warmth), light, light * (1 + warmth))
    return Air(ambient, bottom, rng.uniform(*weather.density)), top, bottom

"""Sky, ground and foliage texture, shadows, and what weather and lens do to the finished picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from admlops.synthetic.canvas import BACKDROP, CLASS_INDEX, Canvas, Color, Image

_TILE_PX = 512
_NEUTRAL = 128


@lru_cache(maxsize=1)
def _tiles() -> dict[str, Image]:
    """Repeating textures, 128 = neutral; the same in every process."""
    rng = np.random.default_rng(20251)

    def octaves(sizes: tuple[int, ...], weights: tuple[float, ...]) -> Image:
        total = np.zeros((_TILE_PX, _TILE_PX), np.float32)
        for size, weight in zip(sizes, weights, strict=True):
            coarse = rng.normal(0, 1, (size, size)).astype(np.float32)
            # Wrapping before enlarging makes the tile repeat without a seam.
            wrapped = np.pad(coarse, 2, mode="wrap")
            margin = 2 * _TILE_PX // size
            large = cv2.resize(wrapped, None, fx=_TILE_PX / size, fy=_TILE_PX / size, interpolation=cv2.INTER_CUBIC)
            total += weight * large[margin : margin + _TILE_PX, margin : margin + _TILE_PX]
        return np.clip(_NEUTRAL + total, 0, 255).astype(np.uint8)

    slabs = octaves((16, 256), (5, 5))
    for k in range(0, _TILE_PX, 32):
        slabs[k : k + 2] = 92
        slabs[:, k : k + 2] = 92
    return {
        "asphalt": octaves((4, 32, 256, 512), (6, 5, 7, 7)),
        "terrain": octaves((8, 64, 256, 512), (14, 14, 18, 14)),
        "sidewalk": slabs,
        "leaves": octaves((32, 64, 128, 256), (10, 16, 20, 14)),
        "plaster": octaves((4, 16, 256), (8, 5, 5)),
        "noise": np.clip(rng.normal(_NEUTRAL, 24, (_TILE_PX, _TILE_PX)), 0, 255).astype(np.uint8),
        "clouds": octaves((4, 8, 16, 32, 64), (34, 22, 14, 8, 5)),
    }


def draw_sky(canvas: Canvas, top: Color, bottom: Color, cloudy: float, sun: Color | None, rng: np.random.Generator) -> None:
    """Fill the canvas with sky: a gradient, clouds and a sun.

    Args:
        canvas: Painted on first.
        top: BGR at the zenith.
        bottom: BGR at the horizon.
        cloudy: 0 = none, 1 = many clouds.
        sun: BGR of the glow around the sun, or None.
        rng: Source of chance.
    """
    height, width = canvas.classes.shape
    small_h, small_w = height // 4, width // 4
    horizon = max(canvas.camera.horizon_px / 4, 8.0)
    part = np.clip(np.arange(small_h) / horizon, 0, 1)[:, None, None] ** 0.8
    sky = np.array(top) * (1 - part) + np.array(bottom) * part
    sky = np.repeat(sky, small_w, axis=1).astype(np.float32)
    shift = rng.integers(0, _TILE_PX, 2)
    clouds = np.roll(_tiles()["clouds"], tuple(shift), axis=(0, 1))
    clouds = cv2.resize(clouds[: _TILE_PX // 2], (small_w, small_h)).astype(np.float32)
    amount = np.clip((clouds - _NEUTRAL - 40 * (1 - 2 * cloudy)) / 60, 0, 0.85)[..., None]
    bright = np.clip(np.array(bottom) * 1.05 + 12, 0, 250)
    sky = sky * (1 - amount) + bright * amount
    if sun is not None:
        x, y = rng.uniform(0, small_w), rng.uniform(0, horizon * 0.9)
        distance2 = (np.arange(small_w)[None] - x) ** 2 + (np.arange(small_h)[:, None] - y) ** 2
        glow = np.exp(-distance2 / (0.02 * small_w**2)) * 0.8 + np.exp(-distance2 / (0.0006 * small_w**2))
        sky = sky + (np.array(sun) - sky) * np.clip(glow, 0, 1)[..., None]
    canvas.picture[:] = cv2.resize(np.clip(sky, 0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    canvas.classes[:] = CLASS_INDEX["sky"]


def texture_ground(canvas: Canvas, shadows: Image, darkness: float, rng: np.random.Generator) -> None:
    """Give the ground its grain in perspective, and lay shadows on it.

    Args:
        canvas: With the ground painted and nothing else on it.
        shadows: (H, W), 255 where an object keeps the sun off.
        darkness: How dark a shadow is, 0..1.
        rng: Source of chance.
    """
    height, width = canvas.classes.shape
    top = int(np.clip(canvas.camera.horizon_px - height * 0.12, 0, height - 8))
    classes = canvas.classes[top:]
    grain = np.full(classes.shape, _NEUTRAL, np.uint8)
    fade = np.clip((np.arange(top, height) - canvas.camera.horizon_px) / (0.22 * height), 0.12, 1)
    for class_name, tile, scale in (("road", "asphalt", 30.0), ("terrain", "terrain", 45.0), ("sidewalk", "sidewalk", 40.0)):
        mask = classes == CLASS_INDEX[class_name]
        if not mask.any():
            continue
        to_tile = np.diag([scale, scale, 1.0])
        to_tile[0, 2], to_tile[1, 2] = rng.uniform(0, _TILE_PX, 2)
        window = np.array([[1.0, 0, 0], [0, 1, top], [0, 0, 1]])
        mapping = to_tile @ canvas.camera.ground_from_pixel @ window
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (width, height - top)
        seen = cv2.warpPerspective(_tiles()[tile], mapping, size, flags=flags, borderMode=cv2.BORDER_WRAP)
        np.copyto(grain, seen, where=mask)
    light = _NEUTRAL + (grain.astype(np.float32) - _NEUTRAL) * fade[:, None].astype(np.float32)
    light *= 1 - shadows[top:].astype(np.float32) * (darkness / 255)
    is_ground = classes != CLASS_INDEX["sky"]
    _multiply(canvas.picture[top:], np.where(is_ground, light, _NEUTRAL).astype(np.uint8))


def texture_upright(canvas: Canvas, rng: np.random.Generator) -> None:
    """Give foliage and walls their grain, in the image's plane; the backdrop is too far to show any."""
    height, width = canvas.classes.shape
    size = _TILE_PX * height // 720 * 2
    grain = np.full(canvas.classes.shape, _NEUTRAL, np.uint8)
    is_near = canvas.numbers != BACKDROP
    for class_name, tile in (("vegetation", "leaves"), ("building", "plaster")):
        pattern = np.roll(_tiles()[tile], tuple(rng.integers(0, _TILE_PX, 2)), axis=(0, 1))
        pattern = cv2.resize(pattern, (size, size), interpolation=cv2.INTER_LINEAR)
        repeats = (-(-height // size), -(-width // size))
        np.copyto(
            grain, np.tile(pattern, repeats)[:height, :width], where=is_near & (canvas.classes == CLASS_INDEX[class_name])
        )
    _multiply(canvas.picture, grain)


def _multiply(picture: Image, light: Image) -> None:
    cv2.multiply(picture, cv2.merge([light, light, light]), dst=picture, scale=1 / _NEUTRAL)


@dataclass(frozen=True)
class Lens:
    """What the camera adds.

    Attributes:
        effect: "", "rain", "snow" or "glare".
        glare: BGR of a low sun's veil.
        glow: Strength of lamps' halos, 0 = none.
        head_light: Whether the own head lamps shine on the road.
        blur_px: Sigma of the blur at 720 rows.
        noise: Amplitude.
        vignette: Darkening of the corners, 0..1.
        gamma: Exponent of the tone curve.
        cast: Gain of blue, green, red.
    """

    effect: str
    glare: Color
    glow: float
    head_light: bool
    blur_px: float
    noise: float
    vignette: float
    gamma: float
    cast: Color


def develop(canvas: Canvas, lens: Lens, rng: np.random.Generator) -> Image:
    """Turn the painted scene into a photo.

    Args:
        canvas: The finished scene.
        lens: What to add.
        rng: Source of chance.

    Returns:
        (H, W, 3) BGR.
    """
    picture = canvas.picture
    height, width = canvas.classes.shape
    if lens.glow > 0 and canvas.glows:
        picture = cv2.add(picture, _halos(canvas, lens.glow))
    if lens.effect == "rain":
        picture = _streaks(picture, rng, count=500, length=0.035, bright=205, width=1)
    elif lens.effect == "snow":
        picture = _flakes(picture, rng)
    sigma = lens.blur_px * height / 720
    if sigma > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    picture = _light_falloff(picture, canvas, lens, rng)
    grain = _noise(height, width, rng)
    picture = cv2.addWeighted(picture, 1.0, cv2.merge([grain, grain, grain]), lens.noise, -_NEUTRAL * lens.noise)
    levels = np.arange(256)[:, None] / 255
    curve = np.clip(levels**lens.gamma * np.array(lens.cast) * 255, 0, 255).astype(np.uint8)
    developed: Image = cv2.LUT(picture, curve[:, None, :])
    return developed


def _noise(height: int, width: int, rng: np.random.Generator) -> Image:
    tile = np.roll(_tiles()["noise"], tuple(rng.integers(0, _TILE_PX, 2)), axis=(0, 1))
    return np.ascontiguousarray(np.tile(tile, (-(-height // _TILE_PX), -(-width // _TILE_PX)))[:height, :width])


def _halos(canvas: Canvas, strength: float) -> Image:
    height, width = canvas.classes.shape
    layer = np.zeros((height // 4, width // 4, 3), np.uint8)
    for glow in canvas.glows:
        center = (int(np.clip(glow.x / 4, -999, 9999)), int(np.clip(glow.y / 4, -999, 9999)))
        x, y = int(glow.x), int(glow.y)
        # A lamp behind something nearer does not shine.
        if 0 <= x < width and 0 <= y < height and canvas.numbers[y, x] == glow.number:
            cv2.circle(layer, center, max(int(glow.radius / 3), 1), [c * strength for c in glow.color], -1)
    layer = cv2.addWeighted(
        cv2.GaussianBlur(layer, (0, 0), height / 300), 1.0, cv2.GaussianBlur(layer, (0, 0), height / 90), 0.9, 0
    )
    halos: Image = cv2.resize(layer, (width, height))
    return halos


def _streaks(picture: Image, rng: np.random.Generator, *, count: int, length: float, bright: int, width: int) -> Image:
    height, wide = picture.shape[:2]
    layer = picture.copy()
    slant = rng.uniform(-0.3, 0.3)
    for _ in range(count):
        x, y, size = rng.uniform(0, wide), rng.uniform(0, height), height * length * rng.uniform(0.4, 1.3)
        end = (int(x + slant * size), int(y + size))
        cv2.line(layer, (int(x), int(y)), end, (bright, bright, bright), width, cv2.LINE_AA)
    mixed: Image = cv2.addWeighted(picture, 0.72, layer, 0.28, 0)
    return mixed


def _flakes(picture: Image, rng: np.random.Generator) -> Image:
    height, width = picture.shape[:2]
    layer = picture.copy()
    for _ in range(420):
        center = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        radius = max(int(height / 720 * rng.gamma(2.0, 0.9)), 1)
        cv2.circle(layer, center, radius, (240, 240, 240), -1, cv2.LINE_AA)
    mixed: Image = cv2.addWeighted(picture, 0.4, layer, 0.6, 0)
    return mixed


def _light_falloff(picture: Image, canvas: Canvas, lens: Lens, rng: np.random.Generator) -> Image:
    height, width = canvas.classes.shape
    rows, columns = np.linspace(-1, 1, 64)[:, None], np.linspace(-1, 1, 96)[None]
    gain = 1 - lens.vignette * np.clip(rows**2 + columns**2, 0, 2) / 2
    if lens.head_light:
        horizon = canvas.camera.horizon_px / height * 2 - 1
        gain = gain * (1 + 0.9 * np.exp(-((columns / 0.55) ** 2) - ((rows - horizon - 0.45) / 0.4) ** 2))
    light = cv2.resize(np.clip(gain * _NEUTRAL, 0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    picture = picture.copy()
    _multiply(picture, light)
    if lens.effect == "glare":
        x, y = rng.uniform(-0.8, 0.8), rng.uniform(-0.9, -0.2)
        veil = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 0.7)[..., None] * np.array(lens.glare) * 0.3
        picture = cv2.add(picture, cv2.resize(veil.astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR))
    return picture

"""What the renderers paint on: picture, class index and object number of every pixel, filled by the same polygons."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from admlops.synthetic.camera import Camera, FloatArray
from admlops.task_spec import CAMERA_TASKS, IGNORE_INDEX

Image = NDArray[np.uint8]
Color = tuple[float, float, float]
"""Blue, green, red in 0..255."""

CLASS_INDEX = {name: i for i, name in enumerate(CAMERA_TASKS["seg_default"].classes)}
CLUTTER = "clutter"
"""Class name of things that no task knows: their pixels are 255."""
BACKDROP = 65535
"""Object number of what closes the view at the horizon: too far to show any texture."""

_SUBPIXEL_BITS = 4


@dataclass
class Instance:
    """An object that gets a box.

    Attributes:
        number: Its value in ``Canvas.numbers``.
        category: A detection class.
        part_of: Number of the whole whose part it is (a vehicle's rear), or 0.
        is_hard: Whether nobody could say for sure what it is: its box is marked ignore.
        silhouette_px: Pixels in the image before nearer things covered it.
        roi: x0, y0, x1, y1 that hold all of its pixels.
    """

    number: int
    category: str
    part_of: int = 0
    is_hard: bool = False
    silhouette_px: int = 0
    roi: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True)
class Air:
    """What lies between a surface and the camera: light and haze.

    Attributes:
        ambient: Multiplies every reflecting colour, BGR.
        haze: Colour that distance fades to, BGR.
        density: Fading per metre.
    """

    ambient: Color = (1.0, 1.0, 1.0)
    haze: Color = (200.0, 200.0, 200.0)
    density: float = 0.0


@dataclass
class Glow:
    """A light that shines into the lens: centre and radius in pixels, colour BGR, number of the instance it belongs to."""

    x: float
    y: float
    radius: float
    color: Color
    number: int


@dataclass
class Canvas:
    """Picture, classes and object numbers under construction, painted from far to near.

    Attributes:
        camera: The view.
        air: Light and haze.
        picture: (H, W, 3) BGR.
        classes: (H, W) index into seg_default's classes, 255 where nobody could say.
        numbers: (H, W) number of the instance that is visible, 0 where none.
        instances: Everything that gets a box, by number - 1.
        glows: Lights, for the lens.
    """

    camera: Camera
    air: Air
    picture: Image = field(init=False)
    classes: Image = field(init=False)
    numbers: NDArray[np.uint16] = field(init=False)
    instances: list[Instance] = field(default_factory=list)
    glows: list[Glow] = field(default_factory=list)
    _class: int = IGNORE_INDEX
    _number: int = 0
    _extents: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape = (self.camera.height_px, self.camera.width_px)
        self.picture = np.zeros((*shape, 3), np.uint8)
        self.classes = np.full(shape, IGNORE_INDEX, np.uint8)
        self.numbers = np.zeros(shape, np.uint16)

    @contextmanager
    def painting(self, class_name: str, number: int | None = None) -> Iterator[None]:
        """Give a semantic class, and an object number if need be, to what is painted inside the block."""
        before = (self._class, self._number)
        self._class = CLASS_INDEX.get(class_name, IGNORE_INDEX)
        self._number = self._number if number is None else number
        yield
        self._class, self._number = before

    @contextmanager
    def instance(self, category: str, class_name: str, *, is_part: bool = False) -> Iterator[Instance]:
        """Give a semantic class and an object number to what is painted inside the block.

        Args:
            category: Detection class.
            class_name: Semantic class.
            is_part: Whether it belongs to the instance around it.

        Yields:
            The instance; its fields are complete after the block.
        """
        thing = Instance(len(self.instances) + 1, category, part_of=self._number if is_part else 0)
        self.instances.append(thing)
        before = (self._class, self._number)
        self._class, self._number = CLASS_INDEX[class_name], thing.number
        self._extents.append([math.inf, math.inf, -math.inf, -math.inf])
        yield thing
        self._class, self._number = before
        extent = self._extents.pop()
        thing.roi = self._pixel_roi(extent)
        if self._extents:
            self._grow(extent)
        thing.silhouette_px = int(self.visible(thing).sum())

    def visible(self, thing: Instance) -> NDArray[np.bool_]:
        """Mask of the pixels inside ``thing.roi`` that show it or a part of it, as of now."""
        x0, y0, x1, y1 = thing.roi
        window = self.numbers[y0:y1, x0:x1]
        mask: NDArray[np.bool_] = window == thing.number
        for other in self.instances[thing.number :]:
            if other.part_of == thing.number:
                mask |= window == other.number
        return mask

    def shaded(self, color: Color, depth_m: float, shade: float = 1.0, *, shines: bool = False) -> tuple[int, int, int]:
        """Colour of a surface as the camera sees it through light and haze."""
        fading = math.exp(-depth_m * self.air.density)
        seen = [
            (channel * (1.0 if shines else light * shade)) * fading + haze * (1.0 - fading)
            for channel, light, haze in zip(color, self.air.ambient, self.air.haze, strict=True)
        ]
        return int(min(seen[0], 255)), int(min(seen[1], 255)), int(min(seen[2], 255))

    def fill(self, corners_m: ArrayLike, color: Color, *, shade: float = 1.0, detail: bool = False) -> None:
        """Paint a flat polygon of the world.

        Args:
            corners_m: (N, 3) world points.
            color: BGR of the material.
            shade: Light on it, 1 = full.
            detail: Whether it lies on something painted already: only the picture changes.
        """
        corners_m = np.asarray(corners_m, dtype=np.float64)
        corners_px = self.camera.project_polygon(corners_m)
        if corners_px is not None and self._is_in_view(corners_px):
            depth = max(float(corners_m[:, 2].sum()) / len(corners_m), 0.0)
            self.fill_px(corners_px, self.shaded(color, depth, shade), detail=detail)

    def fill_px(self, corners_px: ArrayLike, seen: tuple[int, int, int] | None, *, detail: bool = False) -> None:
        """Paint a polygon of the image.

        Args:
            corners_px: (N, 2).
            seen: Final colour, or None to change labels only.
            detail: Whether only the picture changes.
        """
        corners = np.asarray(corners_px, dtype=np.float64)
        if len(corners) < 3 or not self._is_in_view(corners):
            return
        # OpenCV puts a pixel's centre at integers, the labels' boxes have edges there.
        fixed = [np.round((corners - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)]
        if seen is not None:
            cv2.fillPoly(self.picture, fixed, seen, cv2.LINE_AA, _SUBPIXEL_BITS)
        if not detail:
            cv2.fillPoly(self.classes, fixed, self._class, cv2.LINE_8, _SUBPIXEL_BITS)
            cv2.fillPoly(self.numbers, fixed, self._number, cv2.LINE_8, _SUBPIXEL_BITS)
            if self._extents:
                self._grow([*corners.min(axis=0), *corners.max(axis=0)])

    def shine(self, center_px: ArrayLike, radius_px: float, color: Color) -> None:
        """Note a light on what is being painted."""
        x, y = np.asarray(center_px, dtype=np.float64)
        self.glows.append(Glow(float(x), float(y), radius_px, color, self._number))

    def _is_in_view(self, corners_px: FloatArray) -> bool:
        rows, columns = corners_px[:, 1].tolist(), corners_px[:, 0].tolist()
        is_beside = max(columns) < 0 or min(columns) >= self.camera.width_px
        return not (is_beside or max(rows) < 0 or min(rows) >= self.camera.height_px)

    def _grow(self, extent: Sequence[float]) -> None:
        held = self._extents[-1]
        self._extents[-1] = [
            min(held[0], extent[0]),
            min(held[1], extent[1]),
            max(held[2], extent[2]),
            max(held[3], extent[3]),
        ]

    def _pixel_roi(self, extent: Sequence[float]) -> tuple[int, int, int, int]:
        if not math.isfinite(extent[0]):
            return (0, 0, 0, 0)
        width, height = self.camera.width_px, self.camera.height_px
        x0, y0 = max(int(extent[0]) - 2, 0), max(int(extent[1]) - 2, 0)
        return x0, y0, max(min(int(extent[2]) + 3, width), x0), max(min(int(extent[3]) + 3, height), y0)


@dataclass(frozen=True)
class Board:
    """An upright plane that faces the camera, for things drawn as cut-outs.

    Attributes:
        canvas: Where it is painted.
        foot_px: Pixel of its origin (2,).
        scale: Pixels per metre.
        depth_m: Depth of the origin.
        squash: Factor on the horizontal, for a plane that is turned away.
    """

    canvas: Canvas
    foot_px: FloatArray
    scale: float
    depth_m: float
    squash: float = 1.0

    @staticmethod
    def at(canvas: Canvas, foot_m: ArrayLike, *, squash: float = 1.0) -> Board | None:
        """Put a board on a world point; None where that lies behind the camera."""
        pixels, depths = canvas.camera.project(np.asarray(foot_m, dtype=np.float64)[None])
        if depths[0] < 1.5:
            return None
        return Board(canvas, pixels[0], canvas.camera.pixels_per_metre(float(depths[0])), float(depths[0]), squash)

    def px(self, points: ArrayLike) -> FloatArray:
        """Board metres (right, up) to pixels, (N, 2)."""
        flat = np.asarray(points, dtype=np.float64)
        roll = self.canvas.camera.roll_rad
        right, up = flat[:, 0] * self.squash * self.scale, flat[:, 1] * self.scale
        turned_x = right * math.cos(roll) + up * math.sin(roll)
        turned_y = right * math.sin(roll) - up * math.cos(roll)
        return np.stack([self.foot_px[0] + turned_x, self.foot_px[1] + turned_y], axis=1)

    def polygon(
        self,
        points: ArrayLike,
        color: Color | None,
        *,
        shade: float = 1.0,
        detail: bool = False,
        shines: bool = False,
    ) -> None:
        """Paint a polygon given in board metres; colour None changes labels only."""
        seen = None if color is None else self.canvas.shaded(color, self.depth_m, shade, shines=shines)
        self.canvas.fill_px(self.px(points), seen, detail=detail)

    def rectangle(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        color: Color | None,
        *,
        shade: float = 1.0,
        detail: bool = False,
        shines: bool = False,
    ) -> None:
        """Paint an axis-aligned rectangle given in board metres."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], color, shade=shade, detail=detail, shines=shines)

    def limb(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        width: float,
        color: Color,
        *,
        shade: float = 1.0,
        detail: bool = False,
    ) -> None:
        """Paint a bar with slightly rounded ends between two points in board metres."""
        a, b = np.array(start), np.array(end)
        along = b - a
        along = along / max(float(np.hypot(*along)), 1e-6)
        side = np.array([-along[1], along[0]]) * width / 2
        tip = along * width * 0.35
        corners = [a + side, a - tip + side * 0.5, a - tip - side * 0.5, a - side]
        corners += [b - side, b + tip - side * 0.5, b + tip + side * 0.5, b + side]
        self.polygon(corners, color, shade=shade, detail=detail)

    def disk(
        self,
        x: float,
        y: float,
        radius: float,
        color: Color | None,
        *,
        shade: float = 1.0,
        detail: bool = False,
        shines: bool = False,
        corners: int = 16,
        turn: float = 0.0,
        stretch: float = 1.0,
    ) -> None:
        """Paint a regular polygon or disk given in board metres; ``stretch`` scales its width."""
        angles = np.arange(corners) * (2 * math.pi / corners) + turn
        points = np.stack([x + radius * stretch * np.cos(angles), y + radius * np.sin(angles)], axis=1)
        self.polygon(points, color, shade=shade, detail=detail, shines=shines)

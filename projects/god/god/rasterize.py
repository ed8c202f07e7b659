"""From labelled points to labelled cells: the rules, on NumPy arrays alone.

``h`` is a point's height above the local ground (``LocalGround``: mean z of ground points in cells of 1 m, median of 5x5).
The *band* is 0.15 m < h < 2.5 m. Points outside of the grid or of its height band say nothing. 255 = unknown.

GOD (``label_obstacles``), first match:

1. 255: the disc of the ego vehicle about the sensor.
2. 1: an obstacle point (movable, static, vegetation) in the band.
3. 255: an unknown point in the band; an obstacle point at h <= 0.15 m.
4. 0: a ground point.
5. 0: an empty cell that a *low ray* crosses, unless one of its eight neighbours is 1, or it lies in a gap between obstacle
   points, of any height, that no disc of 0.6 m radius fits into: a beam that passes between twigs finds no way for a car. Not
   where boxes label the sweep.
6. 255: everything else, above all what nobody saw. What hangs above 2.5 m is no evidence of any kind.

A *low ray* is the last stretch of a beam that ends on the ground, as far as it is less than 0.15 m above its end.

Drivable, two classes (``label_drivable``), first match: ego 255; a movable point in the band 255; a static or vegetation
point in the band 0; rule 3 above 255; more drivable (road, parking, driveable) than other ground points 1, fewer 0, as many
255; else 255.

Ground classes (``label_ground_classes``): the class of most ground points; 255 at a tie, in the ego disc and where obstacle
points in the band are not fewer than all ground points. DRIVEABLE counts as the record's category set {road, parking}.

Boxes (``classes_of_boxes``): points in a box are movable; other points within 0.15 m of the ground, as estimated by geometry,
are ground; all others are unknown, as are those in ignored boxes. Then the GOD rules hold, but for low rays: an estimate is
no ground to infer more from. Outside of the labelled region: 255.

Map polygons (``label_polygons``): cells that hold a point or that a low ray crosses: the polygon's class where the
cell's centre lies in one (the last one counts), else the background's; 255 in the ego disc, and in a polygon where a point
lies in the band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from admlops.point_class import PointClass
from admlops.task_spec import IGNORE_INDEX
from god.geometry import BevGrid
from god.local_ground import GROUND_BAND_M, LocalGround, estimate_ground
from god.point_cloud import Polygon
from god.taxonomy import GROUND, OBSTACLES

Mask = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

CEILING_M = 2.5
"""What hangs higher above the ground is passed below."""

_GAP_RADIUS_M = 0.6
_MIN_SENSOR_HEIGHT_M = 0.5
_RAY_STEPS_A_CELL = 2
_RAY_MARGIN = 0.24
"""Of the way from the sensor to the grid's farthest edge: beams that end as far outside may be low inside."""
_EIGHT_NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class LabelledSweep:
    """What one source of labels says of a sweep, and what follows from it for the cells.

    Attributes:
        grid: Of the labels.
        xyz: (N, 3) points, m.
        point_class: (N,) uint8 ``PointClass``.
        origin_3: (3,) the sensor, m.
        ego_radius_m: Of the disc about it that is unknown.
    """

    grid: BevGrid
    xyz: npt.NDArray[np.floating[Any]]
    point_class: npt.NDArray[np.uint8]
    origin_3: npt.NDArray[np.float64]
    ego_radius_m: float = 0.0

    @cached_property
    def cell(self) -> npt.NDArray[np.int64]:
        """(N,) cell of each point."""
        return self.grid.cell_of(self.xyz)

    @cached_property
    def is_ground(self) -> Bools:
        """(N,) points of a ground class."""
        return np.take(_IS_GROUND, self.point_class)

    @cached_property
    def is_obstacle(self) -> Bools:
        """(N,) points of an obstacle class, at any height."""
        return _IS_OBSTACLE[self.point_class]

    @cached_property
    def height_m(self) -> npt.NDArray[np.float64]:
        """(N,) height above the local ground; NaN outside of the grid and where no ground is known."""
        return LocalGround.from_points(self.grid, self.xyz[self.is_ground]).height_above(self.xyz)

    @cached_property
    def in_band(self) -> Bools:
        """(N,) points between 0.15 and 2.5 m above the ground."""
        return (self.height_m > GROUND_BAND_M) & (self.height_m < CEILING_M)

    @cached_property
    def ego(self) -> Bools:
        """(rows, cols) cells whose centre lies in the ego disc."""
        x_m, y_m = self.grid.centres_m()
        away_m = np.hypot(y_m[:, None] - self.origin_3[1], x_m[None, :] - self.origin_3[0])
        is_ego: Bools = away_m < self.ego_radius_m
        return is_ego

    @cached_property
    def is_hit(self) -> Bools:
        """(rows, cols) cells with a point, be it above 2.5 m: a beam may pass below the lorry whose roof it is."""
        return self.cells_with(np.ones(len(self.cell), dtype=bool))

    @cached_property
    def has_low_ray(self) -> Bools:
        """(rows, cols) cells that a low ray crosses."""
        return find_low_rays(self.grid, self.origin_3, self.xyz[self.is_ground])

    def count(self, of_points: Bools) -> npt.NDArray[np.int64]:
        """Count points in cells.

        Args:
            of_points: (N,) bool, those to count.

        Returns:
            (rows, cols).
        """
        counts = np.bincount(self.cell[of_points], minlength=self.grid.num_cells + 1)
        return counts[:-1].reshape(self.grid.shape)

    def cells_with(self, of_points: Bools) -> Bools:
        """Find the cells that hold any of some points.

        Args:
            of_points: (N,) bool.

        Returns:
            (rows, cols) bool.
        """
        holds = np.zeros(self.grid.num_cells + 1, dtype=bool)
        holds[self.cell[of_points]] = True
        return holds[:-1].reshape(self.grid.shape)


def _membership(classes: Sequence[PointClass]) -> Bools:
    return np.isin(np.arange(len(PointClass)), classes)


_IS_GROUND = _membership(GROUND)
_IS_OBSTACLE = _membership(OBSTACLES)
_IS_DRIVABLE = _membership((PointClass.ROAD, PointClass.PARKING, PointClass.DRIVEABLE))


def classes_of_boxes(
    grid: BevGrid, xyz: npt.NDArray[np.floating[Any]], in_box: Bools, in_ignored: Bools
) -> npt.NDArray[np.uint8]:
    """Class the points of a sweep that is labelled with boxes.

    Args:
        grid: Of the labels.
        xyz: (N, 3) points, m.
        in_box: (N,) bool, in a box that counts.
        in_ignored: (N,) bool, in a box that does not.

    Returns:
        (N,) ``PointClass``: MOVABLE in a box, TERRAIN (any ground) near the ground, else UNKNOWN.
    """
    candidates = ~in_box & ~in_ignored & estimate_ground(grid, xyz)
    height_m = LocalGround.from_points(grid, xyz[candidates]).height_above(xyz)
    is_ground = candidates & (np.abs(height_m) < GROUND_BAND_M)
    return np.select([in_box, is_ground], [PointClass.MOVABLE, PointClass.TERRAIN], PointClass.UNKNOWN).astype(np.uint8)


def label_obstacles(sweep: LabelledSweep, with_low_rays: bool = True) -> Mask:
    """Apply the GOD rules.

    Args:
        sweep: Points and their classes.
        with_low_rays: Rule 5 holds: the ground is labelled, not estimated.

    Returns:
        (rows, cols) uint8: 0 free, 1 obstacle, 255.
    """
    obstacle = sweep.cells_with(sweep.is_obstacle & sweep.in_band)
    mask = np.full(sweep.grid.shape, IGNORE_INDEX, dtype=np.uint8)
    mask[sweep.cells_with(sweep.is_ground)] = 0
    mask[_is_doubtful(sweep)] = IGNORE_INDEX
    if with_low_rays:
        beside = cv2.dilate(obstacle.astype(np.uint8), _EIGHT_NEIGHBOURS).astype(bool)
        mask[sweep.has_low_ray & ~sweep.is_hit & ~beside & ~_close_gaps(sweep)] = 0
    mask[obstacle] = 1
    mask[sweep.ego] = IGNORE_INDEX
    return mask


def label_drivable(sweep: LabelledSweep) -> Mask:
    """Apply the rules of the two drivable classes.

    Args:
        sweep: Points and their classes.

    Returns:
        (rows, cols) uint8: 0 not drivable, 1 drivable, 255.
    """
    drivable = sweep.count(_IS_DRIVABLE[sweep.point_class])
    other = sweep.count(sweep.is_ground) - drivable
    mask = np.full(sweep.grid.shape, IGNORE_INDEX, dtype=np.uint8)
    mask[drivable > other] = 1
    mask[drivable < other] = 0
    mask[_is_doubtful(sweep)] = IGNORE_INDEX
    mask[sweep.cells_with(sweep.is_obstacle & sweep.in_band)] = 0
    mask[sweep.cells_with((sweep.point_class == PointClass.MOVABLE) & sweep.in_band)] = IGNORE_INDEX
    mask[sweep.ego] = IGNORE_INDEX
    return mask


def label_ground_classes(sweep: LabelledSweep, values: npt.NDArray[np.uint8]) -> Mask:
    """Apply the rules of the ground classes.

    Args:
        sweep: Points and their classes.
        values: (10,) mask value of each ``PointClass``, 255 where a ground class is not labelled.

    Returns:
        (rows, cols) uint8, one of ``values`` or 255.
    """
    on_ground = sweep.is_ground & (sweep.cell < sweep.grid.num_cells)
    hit, position = np.unique(sweep.cell[on_ground], return_inverse=True)
    classes = np.array(GROUND)
    counts = np.zeros((len(hit), len(PointClass)), dtype=np.int64)
    np.add.at(counts, (position, sweep.point_class[on_ground]), 1)
    counts = counts[:, classes]
    obstacles = sweep.count(sweep.is_obstacle & sweep.in_band).ravel()[hit]
    is_tie = np.count_nonzero(counts == counts.max(axis=1, keepdims=True), axis=1) > 1
    unknown = is_tie | (obstacles >= counts.sum(axis=1)) | sweep.ego.ravel()[hit]
    mask = np.full(sweep.grid.num_cells, IGNORE_INDEX, dtype=np.uint8)
    mask[hit] = np.where(unknown, IGNORE_INDEX, values[classes[counts.argmax(axis=1)]])
    return mask.reshape(sweep.grid.shape)


def label_polygons(sweep: LabelledSweep, polygons: Sequence[Polygon], values: Sequence[int], background: int) -> Mask:
    """Apply the rules of map polygons.

    Args:
        sweep: Points with the classes of ``classes_of_boxes`` without boxes.
        polygons: (K, 2) corners each, m.
        values: Mask value of each polygon.
        background: Mask value outside of all polygons; 255 = unknown.

    Returns:
        (rows, cols) uint8, one of the values or 255.
    """
    mask = np.full(sweep.grid.shape, background, dtype=np.uint8)
    in_any = np.zeros(sweep.grid.shape, dtype=bool)
    for corners, value in zip(polygons, values, strict=True):
        inside = fill_polygon(sweep.grid, corners)
        mask[inside] = value
        in_any |= inside
    standing = sweep.cells_with(sweep.in_band)
    mask[(~sweep.is_hit & ~sweep.has_low_ray) | (in_any & standing) | sweep.ego] = IGNORE_INDEX
    return mask


def _close_gaps(sweep: LabelledSweep) -> Bools:
    radius = round(_GAP_RADIUS_M / sweep.grid.cell_m)
    if radius < 1:
        return np.zeros(sweep.grid.shape, dtype=bool)
    # OpenCV's ellipse changes with a quarter turn.
    disc = (np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]) <= radius).astype(np.uint8)
    # Beyond the grid nothing stands: without the margin its border would close like a wall.
    standing = np.pad(sweep.cells_with(sweep.is_obstacle).astype(np.uint8), radius)
    closed = cv2.morphologyEx(standing, cv2.MORPH_CLOSE, disc)
    is_closed: Bools = closed[radius:-radius, radius:-radius].astype(bool)
    return is_closed


def _is_doubtful(sweep: LabelledSweep) -> Bools:
    unknown = (sweep.point_class == PointClass.UNKNOWN) & sweep.in_band
    # An obstacle where no ground is known has no height: NaN fails every comparison but this one.
    low = sweep.is_obstacle & ~(sweep.height_m > GROUND_BAND_M)
    return sweep.cells_with(unknown | low)


def find_low_rays(grid: BevGrid, origin_3: npt.NDArray[np.float64], ends_xyz: npt.NDArray[np.floating[Any]]) -> Bools:
    """Find the cells that beams cross less than 0.15 m above the ground point at which they end.

    One beam is followed for each cell in which beams end (the first in the order of the points), in steps of half a cell.
    Beams whose end is not at least 0.5 m below the sensor are not followed.

    Args:
        grid: Of the cells.
        origin_3: (3,) the sensor, m.
        ends_xyz: (N, 3) ground points, m.

    Returns:
        (rows, cols) bool, the cells of the ends included.
    """
    ends = _one_a_cell(grid, origin_3, ends_xyz)
    drop_m = origin_3[2] - ends[:, 2]
    ends, drop_m = ends[drop_m >= _MIN_SENSOR_HEIGHT_M], drop_m[drop_m >= _MIN_SENSOR_HEIGHT_M]
    towards = (origin_3[:2] - ends[:, :2]) / grid.cell_m
    length_cells = np.hypot(towards[:, 0], towards[:, 1])
    num_steps = np.floor(length_cells * np.minimum(GROUND_BAND_M / drop_m, 1) * _RAY_STEPS_A_CELL).astype(np.int64)
    longest_first = np.argsort(-num_steps, kind="stable")
    stride = (towards / np.maximum(length_cells * _RAY_STEPS_A_CELL, 1e-9)[:, None])[longest_first].T.copy()
    start = grid.to_px(ends)[longest_first].T.copy()
    # So many beams are at least as long as each step: all of them take it at once.
    num_beams = len(ends) - np.searchsorted(np.sort(num_steps), np.arange(num_steps.max(initial=0) + 1))
    crossed = np.zeros(grid.shape, dtype=bool)
    for step, num in enumerate(num_beams):
        col, row = np.floor(start[:, :num] + step * stride[:, :num]).astype(np.int64)
        inside = (col >= 0) & (col < grid.cols) & (row >= 0) & (row < grid.rows)
        crossed[row[inside], col[inside]] = True
    return crossed


def _one_a_cell(
    grid: BevGrid, origin_3: npt.NDArray[np.float64], ends_xyz: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.float64]:
    corners_px = np.array([[0, 0], [grid.cols, grid.rows]])
    margin = int(np.ceil(_RAY_MARGIN * np.abs(corners_px - grid.to_px(origin_3[None])).max()))
    reach_m = margin * grid.cell_m
    rows, cols = grid.rows + 2 * margin, grid.cols + 2 * margin
    wide = BevGrid(grid.x_min_m - reach_m, grid.y_min_m - reach_m, grid.cell_m, rows, cols, grid.z_min_m, grid.z_max_m)
    cell = wide.cell_of(ends_xyz)
    first = np.full(wide.num_cells + 1, -1, dtype=np.int64)
    first[cell[::-1]] = np.arange(len(cell))[::-1]
    first[-1] = -1
    ends: npt.NDArray[np.float64] = np.asarray(ends_xyz)[first[first >= 0]].astype(np.float64)
    return ends


def fill_polygon(grid: BevGrid, corners: Polygon) -> Bools:
    """Find the cells whose centre lies in a polygon. OpenCV's ``fillPoly`` also fills what the border touches, unevenly.

    Args:
        grid: Of the cells.
        corners: (K, 2) x, y, m; where the border crosses itself, inside and outside change places.

    Returns:
        (rows, cols) bool.
    """
    start = grid.to_px(corners) - 0.5  # of centres: cell i is at i
    stop = np.roll(start, -1, axis=0)
    rows = np.arange(grid.rows)
    edge, row = np.nonzero((start[:, 1, None] <= rows) != (stop[:, 1, None] <= rows))
    along = (row - start[edge, 1]) / (stop[edge, 1] - start[edge, 1])
    first_col = np.ceil(start[edge, 0] + along * (stop[edge, 0] - start[edge, 0])).clip(0, grid.cols).astype(np.int64)
    num_crossings = np.bincount(row * (grid.cols + 1) + first_col, minlength=grid.rows * (grid.cols + 1))
    inside: Bools = np.cumsum(num_crossings.reshape(grid.rows, grid.cols + 1)[:, :-1], axis=1) % 2 == 1
    return inside

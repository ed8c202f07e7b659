"""Argoverse 2 sensor logs -> cuboids as obstacles, the drivable area of the vector map; with the front camera where there.

Layout: ``sensor/<split>/<log>/`` (or ``<split>/<log>/``) with ``sensors/lidar/<timestamp>.feather``, ``annotations.feather``,
``calibration/egovehicle_SE3_sensor.feather``, ``city_SE3_egovehicle.feather``, ``map/log_map_archive_*.json`` and
``sensors/cameras/ring_front_center/<timestamp>.jpg``. Points are in the vehicle's frame (x ahead, origin at the rear axle), as
half floats: steps of 1.6 cm at 20 m, 3.1 cm at 40 m. Feather files need pyarrow: the extra ``av2``.

Wilson et al., "Argoverse 2: next generation datasets for self-driving perception and forecasting", NeurIPS Datasets 2021.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from admlops.conversion.box_labels import OBSTACLE_TASKS, obstacle_labels
from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.file_stems import file_stems
from admlops.conversion.photo_file import read_photo
from admlops.conversion.rigid_transform import RigidTransform
from admlops.conversion.sweep_file import REFETCH
from admlops.errors import ConversionError, MachineError

LIDARS = ("up_lidar", "down_lidar")
INTENSITY_MAX = 255
MAP_REACH_M = 100.0
"""Areas of the map are cut there: no grid reaches so far, however it is turned, and whole areas would fill the index file."""

MAX_CAMERA_GAP_NS = 50_000_000
"""Camera frames come every 50 ms: a nearer one belongs to the sweep."""

_POSE = ("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")
_SIZE = ("length_m", "width_m", "height_m")

Rows = list[dict[str, Any]]
Read = TypeVar("Read")


def _read_once(read: Callable[..., Read]) -> Callable[..., Read]:
    # One file serves all sweeps of a log, which a worker converts one after the other; a mended file is read again.
    @lru_cache(maxsize=4)
    def read_state(path: Path, _mtime_ns: int, *args: Any) -> Read:
        return read(path, *args)

    return lambda path, *args: read_state(path, path.stat().st_mtime_ns, *args)


@dataclass(frozen=True)
class Argoverse2Converter(Converter):
    """Argoverse 2 sensor logs: cuboids, and the drivable area of the map."""

    name: ClassVar[str] = "argoverse2"
    revision: ClassVar[int] = 1
    tasks: ClassVar[tuple[str, ...]] = (*OBSTACLE_TASKS, "drivable_2cls")
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")

    def frames(self) -> Iterator[SourceFrame]:
        """List the sweeps of each log."""
        folder = self._folder()
        for log in sorted(path for path in folder.iterdir() if path.is_dir()):
            sweeps, cameras = log / "sensors" / "lidar", log / "sensors" / "cameras" / "ring_front_center"
            if not sweeps.is_dir():
                raise ConversionError("a log has no sweeps", where=sweeps, expected="TIMESTAMP.feather files", got="no folder")
            common = {
                "calibration": log / "calibration" / "egovehicle_SE3_sensor.feather",
                **_where_there(boxes=log / "annotations.feather"),
            }
            if (log / "map").is_dir():
                common |= {"map": _map_archive(log / "map"), "poses": log / "city_SE3_egovehicle.feather"}
            photos = np.array(sorted(map(int, file_stems(cameras, (".jpg",)))) if cameras.is_dir() else [], dtype=np.int64)
            for name in sorted(file_stems(sweeps, (".feather",))):
                files = {"lidar": sweeps / f"{name}.feather", **common}
                if len(photos):
                    nearest = int(photos[np.abs(photos - int(name)).argmin()])
                    if abs(nearest - int(name)) < MAX_CAMERA_GAP_NS:
                        files["image"] = cameras / f"{nearest}.jpg"
                yield SourceFrame(f"{log.name}_{name}", files, str(sweeps))

    def convert(self, frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
        """Write the sweep as raw float32; take over the cuboids of its timestamp and the map around it."""
        files = frame.files
        log, _, stamp = frame.sample_id.rpartition("_")
        record: dict[str, Any] = {"sample_id": frame.sample_id}
        if "image" in files:
            record["image"] = writer.image_entry(read_photo(files["image"]), f"images/{frame.sample_id}.jpg")
        columns = _read_columns(files["lidar"], ("x", "y", "z", "intensity"))
        points_N4 = np.stack([columns[name].astype(np.float32) for name in columns], axis=1)
        origin = _lidar_origin(files["calibration"])
        record["lidar"] = writer.write_sweep(points_N4, f"lidar/{frame.sample_id}.bin", origin, INTENSITY_MAX)
        labels: dict[str, Any] = {}
        cuboids = _rows_by_time(files["boxes"], ("category", *_SIZE, *_POSE)).get(int(stamp)) if "boxes" in files else None
        if cuboids:
            for row in cuboids:
                writer.tally.count("source", row["category"])
            labels |= obstacle_labels([_box(row, files["boxes"]) for row in cuboids])
        else:
            # Logs are of busy streets: no cuboid at all means that nobody looked.
            writer.tally.refuse("sweep without any cuboid: obstacles unknown")
        if "map" in files:
            polygons = _drivable_areas(files["map"], _ego_pose(files["poses"], int(stamp)))
            labels["drivable_2cls"] = {"polygons": polygons, "categories": ["drivable"] * len(polygons)}
        record["labels"] = labels
        record["attributes"] = {"source": self.name, "split": self.split, "scene": log, "timestamp_ns": int(stamp)}
        return record

    def _folder(self) -> Path:
        folders = (self.source_root / "sensor" / self.split, self.source_root / self.split)
        for folder in folders:
            if folder.is_dir():
                return folder
        raise ConversionError(
            f"the folder of split {self.split!r} is missing",
            where=folders[0],
            expected=f"sensor/{self.split}/<log>/ or {self.split}/<log>/ below the source folder",
        )


def _where_there(**files: Path) -> dict[str, Path]:
    return {role: path for role, path in files.items() if path.is_file()}


def _map_archive(folder: Path) -> Path:
    found = sorted(folder.glob("log_map_archive_*.json"))
    if len(found) != 1:
        raise ConversionError(
            "a log has no map", where=folder, expected="one log_map_archive_*.json", got=f"{len(found)} of them"
        )
    return found[0]


def _read_columns(path: Path, names: Sequence[str]) -> dict[str, Any]:
    try:
        from pyarrow import ArrowException, ipc
    except ImportError as error:
        raise MachineError(
            "feather files need pyarrow",
            where=path,
            got=str(error),
            remedy="pip install -r requirements/av2.txt -c requirements/constraints.txt, or pip install -e .[av2]",
        ) from error
    try:
        table = ipc.open_file(str(path)).read_all()
    except ArrowException as error:
        raise ConversionError(
            "the feather file is truncated or malformed",
            where=path,
            expected="Arrow's file format",
            got=str(error),
            remedy=REFETCH,
        ) from None
    if missing := [name for name in names if name not in table.column_names]:
        raise ConversionError(
            f"the feather file lacks column {missing[0]}",
            where=path,
            expected=", ".join(names),
            got=", ".join(table.column_names),
        )
    return {name: table[name].to_numpy() for name in names}


@_read_once
def _rows_by_time(path: Path, names: tuple[str, ...]) -> dict[int, Rows]:
    columns = _read_columns(path, ("timestamp_ns", *names))
    rows: dict[int, Rows] = {}
    for stamp, *values in zip(*(column.tolist() for column in columns.values()), strict=True):
        rows.setdefault(stamp, []).append(dict(zip(names, values, strict=True)))
    return rows


def _transform(row: dict[str, Any], where: object) -> RigidTransform:
    return RigidTransform.from_quaternion([row[name] for name in _POSE[:4]], [row[name] for name in _POSE[4:]], where)


def _box(row: dict[str, Any], where: object) -> tuple[float, ...]:
    ego_from_object = _transform(row, where)
    return (*ego_from_object.translation.tolist(), *(row[name] for name in _SIZE), ego_from_object.heading())


@_read_once
def _lidar_origin(path: Path) -> tuple[float, ...]:
    # A sweep mixes the returns of two lidars, one above the other by 11 cm: rays start halfway between them.
    columns = _read_columns(path, ("sensor_name", *_POSE))
    places = dict(zip(columns["sensor_name"].tolist(), zip(*(columns[name] for name in _POSE[4:]), strict=True), strict=True))
    if missing := [name for name in LIDARS if name not in places]:
        raise ConversionError(
            f"the calibration lacks {missing[0]}", where=path, expected=", ".join(LIDARS), got=", ".join(sorted(places))
        )
    return tuple(np.mean([places[name] for name in LIDARS], axis=0).round(4).tolist())


def _ego_pose(path: Path, stamp: int) -> RigidTransform:
    rows = _rows_by_time(path, _POSE).get(stamp)
    if not rows:
        raise ConversionError("the vehicle's pose is missing", where=path, expected=f"a row of timestamp {stamp}", got="none")
    return _transform(rows[0], path)


@_read_once
def _read_areas(path: Path) -> tuple[Any, ...]:
    try:
        areas = json.loads(path.read_bytes())["drivable_areas"].values()
        return tuple(np.array([[corner[axis] for axis in "xyz"] for corner in area["area_boundary"]]) for area in areas)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConversionError(
            "the map is truncated or malformed",
            where=path,
            expected="drivable_areas: {id: {area_boundary: [{x, y, z}, ...]}}",
            got=f"{type(error).__name__}: {error}",
            remedy=REFETCH,
        ) from None


def _drivable_areas(path: Path, city_from_ego: RigidTransform) -> list[list[list[float]]]:
    around = (clip_to_square(city_from_ego.inverse.apply(corners)[:, :2], MAP_REACH_M) for corners in _read_areas(path))
    return [corners_m.round(2).tolist() for corners_m in around if len(corners_m) >= 3]


def clip_to_square(corners_m: npt.NDArray[np.float64], half_m: float) -> npt.NDArray[np.float64]:
    """Cut a polygon at the four sides of a square (Sutherland and Hodgman); its parts stay joined along the sides.

    Args:
        corners_m: (N, 2) m.
        half_m: Half of the square's side, m; its middle is the origin.

    Returns:
        (K, 2) m; no corner where nothing is inside.
    """
    for axis, sign in ((0, 1), (0, -1), (1, 1), (1, -1)):
        following = np.roll(corners_m, -1, axis=0)
        here, there = half_m - sign * corners_m[:, axis], half_m - sign * following[:, axis]
        leaves_or_enters = (here >= 0) != (there >= 0)
        share = here / np.where(leaves_or_enters, here - there, 1)
        crossings = corners_m + share[:, None] * (following - corners_m)
        kept = np.stack([here >= 0, leaves_or_enters], axis=1)
        corners_m = np.stack([corners_m, crossings], axis=1)[kept]
    return corners_m

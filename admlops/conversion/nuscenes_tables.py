"""nuScenes' relational tables (``v1.0-*/*.json``) -> key frames: sweep, front camera, boxes and how they all lie.

The large tables are read row by row. Of ``v1.0-trainval`` the boxes of 34,149 key frames stay in memory, as doubles: 100 MB.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admlops.conversion.json_list import stream_json_list
from admlops.conversion.rigid_transform import RigidTransform
from admlops.errors import ConversionError, nearest

LIDAR, CAMERA = "LIDAR_TOP", "CAM_FRONT"

Row = dict[str, Any]
Pose = tuple[list[float], list[float]]

_BOX_VALUES = 11  # category, x, y, z, width, length, height, quaternion


@dataclass(frozen=True)
class KeyFrame:
    """What the tables say of one key frame.

    Attributes:
        scene: Name of its scene.
        token: Of its sample.
        timestamp_us: Of its sweep.
        lidar: File of its sweep, relative to the source folder.
        camera: File of the front camera's photo, or None.
        lidarseg: File of the sweep's classes, or None.
        ego_from_lidar: Calibration: quaternion w, x, y, z and translation in m.
        global_from_ego: Pose of the vehicle at the sweep's time.
        boxes: Category, then x, y, z, width, length, height in m and quaternion of each box, in the global frame.
    """

    scene: str
    token: str
    timestamp_us: int
    lidar: str
    camera: str | None
    lidarseg: str | None
    ego_from_lidar: Pose
    global_from_ego: Pose
    boxes: list[tuple[str, list[float]]]


def read_key_frames(folder: Path, scenes: Collection[str]) -> Iterator[KeyFrame]:
    """Read the tables of a version.

    Args:
        folder: Such as ``v1.0-mini/``.
        scenes: Names of those wanted; all where empty.

    Yields:
        Its key frames that have a sweep, by scene and time.

    Raises:
        ConversionError: A table is missing, truncated or malformed, names a row that is not there, or there is no such scene.
    """
    names = _Table.read(folder, "scene", "name")
    known = {row["name"] for row in names.rows.values()}
    if unknown := sorted(set(scenes) - known):
        remedy = nearest(unknown[0], known)
        raise ConversionError(
            f"no scene {unknown[0]!r}", where=names.path, expected=f"one of {len(known)} scenes", remedy=remedy
        )
    scene_of = {
        row["token"]: name
        for row in _rows(folder, "sample", "token", "scene_token")
        if (name := names.find(row["scene_token"])["name"]) in (scenes or known)
    }
    calibrations = _Table.read(folder, "calibrated_sensor", "sensor_token", "rotation", "translation")
    sensors = _Table.read(folder, "sensor", "channel")
    of_channel = {LIDAR: dict[str, Row](), CAMERA: dict[str, Row]()}
    keys = ("token", "is_key_frame", "sample_token", "calibrated_sensor_token", "ego_pose_token", "filename", "timestamp")
    for row in _rows(folder, "sample_data", *keys):
        if row["is_key_frame"] and row["sample_token"] in scene_of:
            channel = sensors.find(calibrations.find(row["calibrated_sensor_token"])["sensor_token"])["channel"]
            if channel in of_channel:
                of_channel[channel][row["sample_token"]] = {key: row[key] for key in keys}
    sweeps = of_channel[LIDAR]
    wanted = {row["ego_pose_token"] for row in sweeps.values()}
    poses = _Table.read(folder, "ego_pose", "rotation", "translation", only=wanted)
    lidarseg = _lidarseg_files(folder)
    boxes = _Boxes(folder, {sample for sample, row in sweeps.items() if row["token"] not in lidarseg})
    for sample, row in sorted(sweeps.items(), key=lambda item: (scene_of[item[0]], item[1]["timestamp"])):
        camera = of_channel[CAMERA].get(sample)
        yield KeyFrame(
            scene_of[sample],
            sample,
            int(row["timestamp"]),
            row["filename"],
            camera["filename"] if camera else None,
            lidarseg.get(row["token"]),
            _pose(calibrations.find(row["calibrated_sensor_token"])),
            _pose(poses.find(row["ego_pose_token"])),
            boxes.of_sample(sample),
        )


def boxes_in_lidar(
    boxes: Collection[tuple[str, list[float]]], poses: tuple[Pose, Pose], where: object
) -> list[tuple[float, ...]]:
    """Move a key frame's boxes.

    Args:
        boxes: As ``KeyFrame`` has them.
        poses: Its ``ego_from_lidar`` and ``global_from_ego``.
        where: Named in errors.

    Returns:
        x, y, z of the centre, length, width, height in m, yaw in rad of each, in the sensor's frame.

    Raises:
        ConversionError: A rotation is no unit quaternion.
    """
    ego_from_lidar, global_from_ego = (RigidTransform.from_quaternion(*pose, where) for pose in poses)
    global_from_lidar = global_from_ego @ ego_from_lidar
    moved = []
    for _, (x, y, z, width, length, height, *rotation) in boxes:
        box = global_from_lidar.inverse @ RigidTransform.from_quaternion(rotation, (x, y, z), where)
        moved.append((*box.translation.tolist(), length, width, height, box.heading()))
    return moved


@dataclass(frozen=True)
class _Table:
    path: Path
    rows: Mapping[str, Row]

    @classmethod
    def read(cls, folder: Path, name: str, *keys: str, only: Collection[str] | None = None) -> _Table:
        rows = _rows(folder, name, "token", *keys)
        kept = {row["token"]: {key: row[key] for key in keys} for row in rows if only is None or row["token"] in only}
        return cls(folder / f"{name}.json", kept)

    def find(self, token: str) -> Row:
        if token not in self.rows:
            raise ConversionError(
                "a row of a nuScenes table is missing", where=self.path, expected=f"token {token}, which another table names"
            )
        return self.rows[token]


class _Boxes:
    def __init__(self, folder: Path, samples: Collection[str]) -> None:
        self._of: dict[str, array[float]] = {}
        self._names: list[str] = []
        if not samples:
            return
        categories = _Table.read(folder, "category", "name")
        instances = _Table.read(folder, "instance", "category_token")
        numbers: dict[str, int] = {}
        for row in _rows(folder, "sample_annotation", "sample_token", "instance_token", "translation", "size", "rotation"):
            if row["sample_token"] in samples:
                name = categories.find(instances.find(row["instance_token"])["category_token"])["name"]
                number = numbers.setdefault(name, len(numbers))
                try:
                    values = array("d", (number, *row["translation"], *row["size"], *row["rotation"]))
                except TypeError:
                    values = array("d")
                if len(values) != _BOX_VALUES:
                    where = f"{folder / 'sample_annotation.json'} (token {row.get('token')})"
                    raise ConversionError("a malformed box", where=where, expected="3 + 3 + 4 numbers", got=str(row)[:200])
                self._of.setdefault(row["sample_token"], array("d")).extend(values)
        self._names = list(numbers)

    def of_sample(self, token: str) -> list[tuple[str, list[float]]]:
        flat = self._of.get(token, ())
        starts = range(0, len(flat), _BOX_VALUES)
        return [(self._names[int(flat[start])], list(flat[start + 1 : start + _BOX_VALUES])) for start in starts]


def _rows(folder: Path, name: str, *keys: str) -> Iterator[Row]:
    path = folder / f"{name}.json"
    for number, row in enumerate(stream_json_list(path)):
        if not isinstance(row, dict) or not row.keys() >= set(keys):
            got = ", ".join(row) if isinstance(row, dict) else repr(row)
            raise ConversionError(
                "a malformed row in a nuScenes table", where=f"{path} (row {number})", expected=", ".join(keys), got=got
            )
        yield row


def _lidarseg_files(folder: Path) -> dict[str, str]:
    if not (folder / "lidarseg.json").is_file():
        return {}
    return {row["sample_data_token"]: row["filename"] for row in _rows(folder, "lidarseg", "sample_data_token", "filename")}


def _pose(row: Row) -> Pose:
    return row["rotation"], row["translation"]

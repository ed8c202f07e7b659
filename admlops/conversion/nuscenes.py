"""nuScenes key frames -> the four lidar tasks by lidarseg's class a point, or obstacles by boxes; with the front camera.

Layout: ``v1.0-*/*.json`` (native tables), ``samples/{LIDAR_TOP,CAM_FRONT}/`` and, where it is there, ``lidarseg/``. Instead of
the tables mmdet3d's infos as JSON (``metainfo``, ``data_list``), whose boxes lie in the sweep's frame already.

Caesar et al., "nuScenes: a multimodal dataset for autonomous driving", CVPR 2020.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from admlops.conversion.box_labels import obstacle_labels
from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.nuscenes_tables import CAMERA, LIDAR, boxes_in_lidar, read_key_frames
from admlops.conversion.photo_file import read_photo
from admlops.conversion.sweep_file import SweepFile, read_point_labels, read_sweep
from admlops.errors import ConversionError
from admlops.task_spec import LIDAR_TASKS

TAXONOMY = "nuscenes_lidarseg"
INTENSITY_MAX = 255
DRIVEABLE_SET = {"driveable_surface": ["road", "parking"]}

LIDARSEG_NAMES = (
    "noise",
    "animal",
    "human.pedestrian.adult",
    "human.pedestrian.child",
    "human.pedestrian.construction_worker",
    "human.pedestrian.personal_mobility",
    "human.pedestrian.police_officer",
    "human.pedestrian.stroller",
    "human.pedestrian.wheelchair",
    "movable_object.barrier",
    "movable_object.debris",
    "movable_object.pushable_pullable",
    "movable_object.trafficcone",
    "static_object.bicycle_rack",
    "vehicle.bicycle",
    "vehicle.bus.bendy",
    "vehicle.bus.rigid",
    "vehicle.car",
    "vehicle.construction",
    "vehicle.emergency.ambulance",
    "vehicle.emergency.police",
    "vehicle.motorcycle",
    "vehicle.trailer",
    "vehicle.truck",
    "flat.driveable_surface",
    "flat.other",
    "flat.sidewalk",
    "flat.terrain",
    "static.manmade",
    "static.other",
    "static.vegetation",
    "vehicle.ego",
)


@dataclass(frozen=True)
class NuScenesConverter(Converter):
    """nuScenes: key frames of the top lidar, with lidarseg where it is there.

    Attributes:
        scenes: Only these; all where empty.
        infos: mmdet3d's infos as JSON, read instead of the tables; relative to the source folder. None for the tables.
    """

    scenes: tuple[str, ...] = ()
    infos: Path | None = None

    name: ClassVar[str] = "nuscenes"
    revision: ClassVar[int] = 2
    tasks: ClassVar[tuple[str, ...]] = tuple(LIDAR_TASKS)
    splits: ClassVar[tuple[str, ...]] = ("v1.0-trainval", "v1.0-mini", "v1.0-test")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scenes", tuple(self.scenes))
        if self.infos is not None:
            object.__setattr__(self, "infos", self.source_root / self.infos)
            if self.scenes:
                raise ConversionError("infos name no scenes", where=self.infos, expected="--scenes or --infos, not both")

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add ``--scenes`` and ``--infos``."""
        parser.add_argument(
            "--scenes",
            nargs="+",
            action="extend",
            default=[],
            metavar="scene-NNNN",
            help="only these scenes (default: all), so that training and validation do not share one",
        )
        parser.add_argument("--infos", type=Path, metavar="JSON", help="mmdet3d's infos as JSON, instead of the tables")

    def frames(self) -> Iterator[SourceFrame]:
        """List the key frames of the tables, or the frames of the infos."""
        yield from self._frames_of_tables() if self.infos is None else self._frames_of_infos(self.infos)

    def convert(self, frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
        """Name the sweep and its classes, or take over its boxes."""
        files, notes = frame.files, frame.annotation
        sweep = read_sweep(files["lidar"], "x, y, z, intensity, ring")
        record: dict[str, Any] = {"sample_id": frame.sample_id}
        if "image" in files:
            record["image"] = writer.image_entry(read_photo(files["image"]), f"images/{frame.sample_id}.jpg")
        # Points are in the sensor's own frame.
        record["lidar"] = writer.sweep_entry(sweep, f"lidar/{frame.sample_id}.bin", intensity_max=INTENSITY_MAX)
        labels: dict[str, Any] = {}
        if "labels" in files:
            _count_classes(files["labels"], sweep, writer)
            path = writer.reference(files["labels"], f"labels/{frame.sample_id}.bin")
            labels = {task: {"point_labels": path, "taxonomy": TAXONOMY} for task in self.tasks}
            labels["drivable_multi"]["category_sets"] = DRIVEABLE_SET
        elif self.split == "v1.0-test" or notes["boxes"] is None:
            writer.tally.refuse("sweep without labels: every task unknown")
        else:
            names = [name for name, _ in notes["boxes"]]
            for name in names:
                writer.tally.count("source", name)
            boxes = [box for _, box in notes["boxes"]]
            if "poses" in notes:
                boxes = boxes_in_lidar(notes["boxes"], notes["poses"], frame.listed_in)
            labels = obstacle_labels(boxes)
        record["labels"] = labels
        record["attributes"] = {"source": self.name, "split": self.split, **notes["attributes"]}
        return record

    def _frames_of_tables(self) -> Iterator[SourceFrame]:
        folder = self.source_root / self.split
        if not folder.is_dir():
            raise ConversionError(
                "a folder of nuScenes' layout is missing",
                where=folder,
                expected=f"{self.split}/*.json below the source folder",
                remedy="choose another --split, or name mmdet3d's infos: --infos",
            )
        for item in read_key_frames(folder, self.scenes):
            files = {"lidar": self.source_root / item.lidar}
            if item.camera is not None:
                files["image"] = self.source_root / item.camera
            if item.lidarseg is not None:
                files["labels"] = self.source_root / item.lidarseg
            annotation = {
                "attributes": {"scene": item.scene, "timestamp_ns": item.timestamp_us * 1000, "token": item.token},
                "boxes": item.boxes,
                "poses": (item.ego_from_lidar, item.global_from_ego),
            }
            yield SourceFrame(_frame_name(item.lidar), files, f"{folder / 'sample.json'} ({item.token})", annotation)

    def _frames_of_infos(self, path: Path) -> Iterator[SourceFrame]:
        if path.suffix == ".pkl":
            raise ConversionError(
                "a pickle may run anything that it names, so none is read",
                where=path,
                expected="JSON",
                remedy="where you trust it: json.dump(mmengine.load('x.pkl'), open('x.json', 'w'), default=float)",
            )
        names, infos = _read_infos(path)
        for number, info in enumerate(infos):
            where = f"{path} (data_list[{number}])"
            try:
                yield self._frame_of_info(info, names, where)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise ConversionError(
                    "a malformed frame in mmdet3d's infos",
                    where=where,
                    expected="lidar_points.lidar_path, timestamp; of each of its instances bbox_3d, bbox_label_3d",
                    got=f"{type(error).__name__}: {error}",
                ) from None

    def _frame_of_info(self, info: dict[str, Any], names: dict[int, str], where: str) -> SourceFrame:
        lidar = info["lidar_points"]["lidar_path"]
        files = {"lidar": self._find(lidar, f"samples/{LIDAR}")}
        if camera := info.get("images", {}).get(CAMERA):
            files["image"] = self._find(camera["img_path"], f"samples/{CAMERA}")
        if labels := info.get("pts_semantic_mask_path"):
            files["labels"] = self._find(labels, f"lidarseg/{self.split}")
        boxes = None  # nobody looked; an empty list says that nothing is there
        if "instances" in info:
            # The first seven numbers: a velocity may follow.
            boxes = [
                (names.get(item["bbox_label_3d"], "other"), [float(value) for value in item["bbox_3d"][:7]])
                for item in info["instances"]
            ]
        name = _frame_name(lidar)
        attributes = {"scene": name.partition("__")[0], "timestamp_ns": round(float(info["timestamp"]) * 1e6) * 1000}
        if "token" in info:
            attributes["token"] = info["token"]
        return SourceFrame(name, files, where, {"attributes": attributes, "boxes": boxes})

    def _find(self, path: str, folder: str) -> Path:
        # Infos name files with or without the folder that a config's data_prefix puts before them.
        beside = self.source_root / path
        return beside if beside.is_file() else self.source_root / folder / path


def _read_infos(path: Path) -> tuple[dict[int, str], list[Any]]:
    # Not row by row: unknown velocities are NaN, which JSON does not have and only this parser takes.
    try:
        content = json.loads(path.read_bytes())
        return {number: name for name, number in content["metainfo"].get("categories", {}).items()}, list(content["data_list"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConversionError(
            "mmdet3d's infos are missing, truncated or malformed",
            where=path,
            expected="{metainfo: {categories: {name: number}}, data_list: [...]}",
            got=f"{type(error).__name__}: {error}",
        ) from None


def _frame_name(path: str) -> str:
    return Path(path).name.removesuffix(".bin").removesuffix(".pcd")


def _count_classes(path: Path, sweep: SweepFile, writer: FrameWriter) -> None:
    points = np.bincount(read_point_labels(path, "<u1", sweep))
    for class_id in np.flatnonzero(points).tolist():
        if class_id >= len(LIDARSEG_NAMES):
            raise ConversionError(
                "a class that nuScenes-lidarseg does not have",
                where=path,
                expected=f"0 to {len(LIDARSEG_NAMES) - 1}",
                got=f"{class_id} on {points[class_id]} points",
            )
        writer.tally.count("source", LIDARSEG_NAMES[class_id], by=int(points[class_id]))

"""OpenLane v1 (on Waymo's front camera) -> ``seg_lane``.

Layout: ``images/<split>/segment-*/N.jpg`` and ``lane3d_1000/<split>/segment-*/N.json`` (or ``lane3d_300``) with
``lane_lines: [{category, uv: [[u, ...], [v, ...]], ...}]``, u and v in pixels.

Chen et al., "PersFormer: 3D lane detection via perspective transformer and the OpenLane benchmark", ECCV 2022.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import orjson

from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.lane_labels import ANY_LANE, TASK, LaneLabels, are_numbers
from admlops.conversion.photo_file import read_photo
from admlops.errors import ConversionError

CLASS_OF_CATEGORY: dict[int, tuple[str, str | None]] = {
    0: ("unknown", ANY_LANE),
    1: ("white-dash", "dashed_white"),
    2: ("white-solid", "solid_white"),
    3: ("double-white-dash", None),
    4: ("double-white-solid", None),
    5: ("white-ldash-rsolid", None),
    6: ("white-lsolid-rdash", None),
    7: ("yellow-dash", None),
    8: ("yellow-solid", "solid_yellow"),
    9: ("double-yellow-dash", None),
    10: ("double-yellow-solid", "double_yellow"),
    11: ("yellow-ldash-rsolid", None),
    12: ("yellow-lsolid-rdash", None),
    20: ("left-curbside", None),
    21: ("right-curbside", None),
}
"""OpenLane's category -> (its name, class or category set of ``seg_lane``, None = ignore)."""

LEFT_CURBSIDE = 20

_LABEL_FOLDERS = ("lane3d_1000", "lane3d_300")


@dataclass(frozen=True)
class OpenLaneConverter(Converter):
    """OpenLane v1: all lane lines of the carriageway, with classes."""

    name: ClassVar[str] = "openlane"
    revision: ClassVar[int] = 1
    tasks: ClassVar[tuple[str, ...]] = (TASK.name,)
    splits: ClassVar[tuple[str, ...]] = ("training", "validation")

    def frames(self) -> Iterator[SourceFrame]:
        """List the label files, segment by segment."""
        labels = self._labels()
        for segment in sorted(labels.glob("segment-*")):
            images = self.source_root / "images" / self.split / segment.name
            for label in sorted(segment.glob("*.json")):
                files = {"image": images / f"{label.stem}.jpg", "lanes": label}
                yield SourceFrame(f"{segment.name}_{label.stem}", files, str(label))

    def convert(self, frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
        """Sort a frame's lines into classes."""
        photo = read_photo(frame.files["image"])
        labels = LaneLabels(photo.width, photo.height, writer.tally)
        for where, category, points in read_lines(frame.files["lanes"]):
            kind, target = CLASS_OF_CATEGORY[category]
            labels.add(kind, target, points, where)
            if category == LEFT_CURBSIDE and len(points) > 1:
                # The other carriageway is not annotated where a kerb stands between.
                labels.ignore_beyond(points, "left")
        return {
            "sample_id": frame.sample_id,
            "image": writer.image_entry(photo, f"images/{frame.sample_id}.jpg"),
            "labels": {TASK.name: labels.to_label()},
            "attributes": {"source": self.name, "split": self.split, "scene": photo.path.parent.name},
        }

    def _labels(self) -> Path:
        for name in _LABEL_FOLDERS:
            if (self.source_root / name / self.split).is_dir():
                return self.source_root / name / self.split
        raise ConversionError(
            f"the labels of split {self.split!r} are missing",
            where=self.source_root / _LABEL_FOLDERS[0] / self.split,
            expected=f"segment-*/*.json, also below {' or '.join(_LABEL_FOLDERS[1:])}",
            remedy="complete the source; SRC is the folder that holds images/ and lane3d_1000/",
        )


def read_lines(path: Path) -> list[tuple[str, int, list[tuple[float, float]]]]:
    """Read the lines of a label file.

    Args:
        path: The file.

    Returns:
        Of each line its place in the file, for errors, its category and its (u, v), px.

    Raises:
        ConversionError: Truncated or malformed; names file and line, or the entry.
    """
    try:
        label = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        remedy = "fetch the file again, then run the same command: it continues"
        raise _malformed(f"{path}:{error.lineno}", "a JSON object", str(error), remedy) from None
    entries = label.get("lane_lines") if type(label) is dict else None
    if type(entries) is not list:
        raise _malformed(path, "lane_lines: a list", repr(sorted(label) if type(label) is dict else label)[:80])
    lines = []
    for i, entry in enumerate(entries):
        where = f"{path} (lane_lines[{i}])"
        category, uv = (entry.get("category"), entry.get("uv")) if type(entry) is dict else (None, None)
        if type(category) is not int or category not in CLASS_OF_CATEGORY:
            raise _malformed(where, f"category: one of {', '.join(map(str, CLASS_OF_CATEGORY))}", repr(category))
        if type(uv) is not list or len(uv) != 2 or not all(are_numbers(values) for values in uv) or len(uv[0]) != len(uv[1]):
            raise _malformed(where, "uv: two lists of as many numbers", repr(uv)[:80])
        lines.append((where, category, list(zip(*uv, strict=True))))
    return lines


def _malformed(where: object, expected: str, got: str, remedy: str | None = None) -> ConversionError:
    return ConversionError("malformed OpenLane label", where=where, expected=expected, got=got, remedy=remedy)

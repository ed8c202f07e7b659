"""TuSimple lane detection -> ``seg_lane``.

Layout: ``label_data_*.json`` (``test_label.json`` in the test set), one JSON object a line:
``{raw_file, lanes, h_samples}``; a lane is one x for each y of ``h_samples``, -2 = no point. ``raw_file`` is relative to the
folder of the label file. Classes are an addition of others: ``classes`` in each line (TuSimple-category), or
``label_data_*_classes.txt`` beside it (TuSimple-lane-classes), a line of numbers for each line of the label file.

TuSimple, "Lane Detection Challenge", 2017. Pizzati et al., "Lane detection and classification using cascaded CNNs", 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import orjson

from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.lane_labels import ANY_LANE, TASK, LaneLabels, are_numbers
from admlops.conversion.photo_file import read_photo
from admlops.errors import ConversionError

CLASS_OF_KIND: dict[str, str | None] = {
    "dashed": "dashed_white",
    "Botts' dots": "dashed_white",
    "solid white": "solid_white",
    "solid yellow": "solid_yellow",
    "double yellow": "double_yellow",
    "double dashed": None,
    "rare": ANY_LANE,
    "unknown": ANY_LANE,
    "no class": ANY_LANE,
}
"""Kind of a lane line -> class or category set of ``seg_lane``, None = ignore."""

KIND_OF_CATEGORY = {
    0: "unknown",
    1: "dashed",  # Botts' dots too
    2: "solid white",
    3: "rare",
    4: "solid yellow",
    5: "rare",
    6: "double yellow",
    7: "rare",
    8: "rare",
}
"""Number in a line's ``classes``, as TuSimple-category has them; of 3, 5, 7 and 8 it does not tell the meaning."""

KIND_OF_CLASS_FILE = {
    1: "solid yellow",
    2: "solid white",
    3: "dashed",
    4: "double dashed",
    5: "Botts' dots",
    6: "double yellow",
    7: "unknown",
}
"""Number in a ``_classes.txt``, as TuSimple-lane-classes has them."""

_LABEL_FILES = {
    "train": "label_data_[0-9][0-9][0-9][0-9].json",
    "0313": "label_data_0313.json",
    "0531": "label_data_0531.json",
    "0601": "label_data_0601.json",
    "test": "test_label.json",
}
_Lines = Iterator[tuple[int, bytes]]


@dataclass(frozen=True)
class TuSimpleConverter(Converter):
    """TuSimple lanes, with classes where there are any; a split is the training set, one day of it, or the test set."""

    name: ClassVar[str] = "tusimple"
    revision: ClassVar[int] = 1
    tasks: ClassVar[tuple[str, ...]] = (TASK.name,)
    splits: ClassVar[tuple[str, ...]] = tuple(_LABEL_FILES)

    def frames(self) -> Iterator[SourceFrame]:
        """Read the label files of the split line by line, each with its classes."""
        pattern = _LABEL_FILES[self.split]
        label_files = sorted(self.source_root.glob(pattern))
        if not label_files:
            raise ConversionError(
                f"the labels of split {self.split!r} are missing",
                where=self.source_root / pattern,
                expected="one JSON object a line",
                remedy="SRC is the folder that holds the label files, such as train_set",
            )
        for label_file in label_files:
            yield from self._frames_of(label_file)

    def convert(self, frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
        """Make lines of a frame's columns of x."""
        photo = read_photo(frame.files["image"])
        labels = LaneLabels(photo.width, photo.height, writer.tally)
        lanes, rows, kinds = (frame.annotation[key] for key in ("lanes", "h_samples", "kinds"))
        for lane, kind in zip(lanes, kinds, strict=True):
            points = [[x, y] for x, y in zip(lane, rows, strict=True) if x >= 0]
            if points:  # the second neighbour's place is there even where that lane is not
                labels.add(kind, CLASS_OF_KIND[kind], points, frame.listed_in)
        labels.ignore_outside()
        return {
            "sample_id": frame.sample_id,
            "image": writer.image_entry(photo, f"images/{frame.sample_id}{photo.path.suffix}"),
            "labels": {TASK.name: labels.to_label()},
            "attributes": {"source": self.name, "split": self.split, "scene": frame.sample_id.split("_")[0]},
        }

    def _frames_of(self, label_file: Path) -> Iterator[SourceFrame]:
        class_file = label_file.with_name(f"{label_file.stem}_classes.txt")
        class_lines = _numbered_lines(class_file) if class_file.is_file() else None
        end = 0
        for number, line in _numbered_lines(label_file):
            where = f"{label_file}:{number}"
            label = _parse_label(line, where)
            from_file = None if class_lines is None else next(class_lines, None)
            if class_lines is not None and from_file is None:
                raise ConversionError(
                    "the class file is truncated",
                    where=f"{class_file}:{end + 1}",
                    expected=f"the classes of {where}",
                    got="the end of the file",
                )
            if "classes" in label:
                kinds = _kinds(label["classes"], KIND_OF_CATEGORY, label["lanes"], where)
            elif from_file is not None:
                end = from_file[0]
                kinds = _kinds(_numbers(from_file[1]), KIND_OF_CLASS_FILE, label["lanes"], f"{class_file}:{end}")
            else:
                kinds = ["no class"] * len(label["lanes"])
            path = PurePosixPath(label["raw_file"])
            sample_id = "_".join(part for part in path.with_suffix("").parts if part != "clips")
            annotation = {"lanes": label["lanes"], "h_samples": label["h_samples"], "kinds": kinds}
            yield SourceFrame(sample_id, {"image": label_file.parent / path}, where, annotation)
        if class_lines is not None and (rest := next(class_lines, None)):
            raise ConversionError(
                "the class file has more lines than the label file",
                where=f"{class_file}:{rest[0]}",
                expected=f"a line for each line of {label_file}",
                got=rest[1].decode(errors="replace").strip(),
            )


def _numbered_lines(path: Path) -> _Lines:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line


def _parse_label(line: bytes, where: str) -> dict[str, Any]:
    try:
        label = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        remedy = "the file is cut short: fetch it again, then run the same command: it continues"
        raise _malformed(where, "a JSON object", f"{line[-40:]!r} ({error})", remedy) from None
    if type(label) is not dict or not {"raw_file", "lanes", "h_samples"} <= label.keys():
        raise _malformed(where, "{raw_file, lanes, h_samples}", repr(sorted(label) if type(label) is dict else label))
    raw_file, rows, lanes = label["raw_file"], label["h_samples"], label["lanes"]
    path = PurePosixPath(raw_file) if type(raw_file) is str else None
    if path is None or path.is_absolute() or ".." in path.parts or not path.suffix:
        raise _malformed(where, "raw_file: a path such as clips/0313-1/6040/20.jpg", repr(raw_file))
    if not are_numbers(rows) or rows != sorted(set(rows)):
        raise _malformed(where, "h_samples: increasing numbers", repr(rows)[:80])
    if type(lanes) is not list:
        raise _malformed(where, "lanes: a list", repr(lanes)[:80])
    for lane in lanes:
        if not are_numbers(lane) or len(lane) != len(rows):
            got = f"{len(lane)} values" if type(lane) is list else repr(lane)
            raise _malformed(where, f"lanes: {len(rows)} numbers each, one for each of h_samples", got)
    return label


def _numbers(line: bytes) -> list[Any]:
    return [int(word) if word.isdigit() else word.decode(errors="replace") for word in line.split()]


def _kinds(numbers: Any, kind_of: dict[int, str], lanes: Sequence[Any], where: str) -> list[str]:
    if type(numbers) is not list or len(numbers) != len(lanes):
        raise _malformed(where, f"{len(lanes)} classes, one for each lane", repr(numbers))
    for number in numbers:
        if type(number) is not int or number not in kind_of:
            raise _malformed(where, f"classes from {min(kind_of)} to {max(kind_of)}", repr(number))
    return [kind_of[number] for number in numbers]


def _malformed(where: str, expected: str, got: str, remedy: str | None = None) -> ConversionError:
    return ConversionError("malformed line of TuSimple labels", where=where, expected=expected, got=got, remedy=remedy)

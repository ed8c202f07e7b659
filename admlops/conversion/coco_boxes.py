"""COCO's instances file: read in a stream, kept as one table of the boxes that are wanted.

The file holds 450 MB, most of it polygons, and its annotations are not in the order of the images. What is kept for all of
train2017 is about 30 MB.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.conversion.json_list import stream_json_list
from admlops.errors import ConversionError


@dataclass(frozen=True)
class CocoImage:
    """One photo of an instances file.

    Attributes:
        file_name: In the split's folder.
        width: Pixels a row.
        height: Rows.
        boxes: Annotation id, category, whether it is a crowd, and x, y, width, height of each wanted box, as JSON values.
        num_others: Boxes of categories that are not wanted.
    """

    file_name: str
    width: int
    height: int
    boxes: list[tuple[int, str, bool, list[float]]]
    num_others: int


@dataclass(frozen=True)
class CocoBoxes:
    """The wanted boxes of an instances file.

    Attributes:
        names: File name of each image, in the order of the file.
        sizes_px: (I, 2) width and height of each.
        num_others: By number of the image: boxes of other categories.
        categories: Names that ``category`` counts.
        first_row: (I + 1,) where the boxes of each image begin.
        ids: (B,) annotation ids, sorted by image.
        category: (B,) index into ``categories``.
        is_crowd: (B,) whether the box is around several objects.
        boxes_px: (B, 4) x, y, width, height.
    """

    names: tuple[str, ...]
    sizes_px: npt.NDArray[np.int32]
    num_others: Mapping[int, int]
    categories: tuple[str, ...]
    first_row: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]
    category: npt.NDArray[np.int8]
    is_crowd: npt.NDArray[np.bool_]
    boxes_px: npt.NDArray[np.float64]

    def images(self) -> Iterator[CocoImage]:
        """Give the images one by one.

        Yields:
            The images, in the order of the file, each with its boxes in theirs.
        """
        for number, (name, size) in enumerate(zip(self.names, self.sizes_px.tolist(), strict=True)):
            rows = slice(self.first_row[number], self.first_row[number + 1])
            columns = (self.ids[rows], self.category[rows], self.is_crowd[rows], self.boxes_px[rows])
            boxes = [
                (box_id, self.categories[category], is_crowd, box_px)
                for box_id, category, is_crowd, box_px in zip(*(column.tolist() for column in columns), strict=True)
            ]
            yield CocoImage(name, size[0], size[1], boxes, self.num_others.get(number, 0))


def read_coco_boxes(path: Path, wanted: Collection[str]) -> CocoBoxes:
    """Read an instances file, once a process as long as it does not change.

    Args:
        path: The file.
        wanted: Names of the categories to keep.

    Returns:
        Its boxes.

    Raises:
        ConversionError: Missing, truncated or malformed; names the annotation.
    """
    if not path.is_file():
        raise ConversionError("the annotation file is missing", where=path, remedy="complete the source")
    stat = path.stat()
    return _read(path, tuple(wanted), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1)
def _read(path: Path, wanted: tuple[str, ...], _size: int, _changed_ns: int) -> CocoBoxes:
    names = _category_names(path, wanted)
    image_numbers, file_names, sizes_px = _images(path)
    image, ids, category, crowd, boxes = array("q"), array("q"), array("b"), array("b"), array("d")
    num_others: Counter[int] = Counter()
    for where, item in _items(path, "annotations"):
        number, name = image_numbers.get(item["image_id"]), names.get(item["category_id"])
        if number is None or name is None:
            missing = "image" if number is None else "category"
            raise _malformed(where, f"the id of one of the file's {missing} entries", f"{missing}_id {item[missing + '_id']!r}")
        if name not in wanted:
            num_others[number] += 1
            continue
        if item["iscrowd"] not in {0, 1}:
            raise _malformed(where, "iscrowd 0 or 1", repr(item["iscrowd"]))
        image.append(number)
        ids.append(item["id"])
        category.append(wanted.index(name))
        crowd.append(item["iscrowd"])
        boxes.extend(_box(item["bbox"], where))
    order = np.argsort(np.frombuffer(image, np.int64), kind="stable")
    counts = np.bincount(np.frombuffer(image, np.int64), minlength=len(file_names))
    return CocoBoxes(
        tuple(file_names),
        np.frombuffer(sizes_px, np.int32).reshape(-1, 2),
        num_others,
        wanted,
        np.concatenate([[0], np.cumsum(counts)]),
        np.frombuffer(ids, np.int64)[order],
        np.frombuffer(category, np.int8)[order],
        np.frombuffer(crowd, np.int8)[order] == 1,
        np.frombuffer(boxes, np.float64).reshape(-1, 4)[order],
    )


def _category_names(path: Path, wanted: tuple[str, ...]) -> dict[int, str]:
    names = {item["id"]: item["name"] for _, item in _items(path, "categories")}
    if missing := sorted(set(wanted) - set(names.values())):
        raise ConversionError(
            "the annotation file lacks categories of COCO",
            where=path,
            expected=", ".join(missing),
            got=f"{len(names)} categories: {', '.join(map(str, list(names.values())[:10]))}...",
            remedy="SRC must hold COCO's own instances file",
        )
    return names


def _images(path: Path) -> tuple[dict[int, int], list[str], array[int]]:
    numbers: dict[int, int] = {}
    names: list[str] = []
    sizes_px = array("i")
    for where, item in _items(path, "images"):
        name = item["file_name"]
        if not isinstance(name, str) or not name or "/" in name:
            raise _malformed(where, "a file name without a folder", repr(name))
        if item["id"] in numbers:
            raise _malformed(where, "each image id once", f"id {item['id']!r} again")
        for key in ("width", "height"):
            if type(item[key]) is not int or not 0 < item[key] < 1 << 20:
                raise _malformed(where, f"{key} in pixels", repr(item[key]))
            sizes_px.append(item[key])
        numbers[item["id"]] = len(names)
        names.append(name)
    return numbers, names, sizes_px


_KEYS = {
    "categories": ("id", "name"),
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "iscrowd", "bbox"),
}


def _items(path: Path, section: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Stream a section: where each entry stands, and the entry with all the keys that are needed."""
    number = -1
    for number, item in enumerate(stream_json_list(path, section)):
        entry_id = item.get("id") if isinstance(item, dict) else None
        where = f"{path} ({section}[{number}], id {entry_id!r})"
        if type(entry_id) is not int:
            raise _malformed(where, f"an object with an integer id in {section}", repr(item)[:80])
        for key in _KEYS[section]:
            if key not in item or (key.endswith("_id") and type(item[key]) is not int):
                raise _malformed(where, f"the key {key}", repr(item.get(key, sorted(item))))
        yield where, item
    if number < 0:
        raise ConversionError(
            f"the annotation file has no {section}",
            where=path,
            expected=f'"{section}": [...] with one or more entries',
            got="none",
            remedy="SRC must hold COCO's own instances file; that of the test photos has no annotations",
        )


def _box(box: Any, where: str) -> list[float]:
    if isinstance(box, list) and len(box) == 4 and all(type(value) in {int, float} for value in box):
        numbers = [float(value) for value in box]
        if all(math.isfinite(value) for value in numbers) and numbers[2] >= 0 and numbers[3] >= 0:
            return numbers
    raise _malformed(where, "bbox [x, y, width, height] in pixels", repr(box))


def _malformed(where: str, expected: str, got: str) -> ConversionError:
    return ConversionError("malformed entry in COCO's annotation file", where=where, expected=expected, got=got)

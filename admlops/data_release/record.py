"""The shape of a record, one line of a JSONL index: which keys it has and what lies under them.

::

    sample_id   str, unique in its file
    image       {path, width, height}
    lidar       {path, dtype, num_features, origin, intensity_max?}, origin = sensor position in the points' frame, m
    labels      {task: label}; a key present = labelled, absent = unknown
    attributes  {...}, free

Whether classes exist in a task is checked where tasks are known (``structures.LabelAvailability``). The checks are written out
by hand because they run over every line of every file once: some microseconds a record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from admlops.errors import RecordError, nearest

RECORD_KEYS = frozenset({"sample_id", "image", "lidar", "labels", "attributes"})
IMAGE_KEYS = frozenset({"path", "width", "height"})
LIDAR_KEYS = frozenset({"path", "dtype", "num_features", "origin"})
LIDAR_OPTIONS = frozenset({"intensity_max"})
AVAILABILITY_KEYS = frozenset({"labelled_categories", "non_exhaustive_categories", "category_sets"})

_SENSORS = ("image", "lidar")
_LABEL_FILES = ("mask", "point_labels")

_MAX_PX = 1e6
_INT64_END = float(1 << 63)

Label = Mapping[str, Any]


def validate_record(record: object, where: object = None) -> None:
    """Refuse a record whose shape is wrong.

    Args:
        record: Parsed line of a JSONL index.
        where: File and line, named in the error.

    Raises:
        RecordError: E410 with the path of the value at fault inside the record.
    """
    try:
        _check_record(record)
    except _ShapeError as error:
        raise RecordError(
            f"{error.path}: {error.what}",
            where=where,
            expected=error.expected,
            got=error.got,
            remedy=error.remedy or "correct the record; the record's format is described in admlops/data_release/record.py",
            code="E410",
        ) from None


def paths_in(record: Mapping[str, Any], tasks: Collection[str] | None = None) -> list[str]:
    """List the files that a record names.

    Args:
        record: A valid one.
        tasks: Of whose labels; None = of all.

    Returns:
        Image and sweep, then files of labels, as written, each once: several tasks may read one file of labels.
    """
    paths = [record[sensor]["path"] for sensor in _SENSORS if sensor in record]
    labels = [label for task, label in record["labels"].items() if tasks is None or task in tasks]
    paths += [label[payload] for label in labels for payload in _LABEL_FILES if payload in label]
    return list(dict.fromkeys(paths))


class _ShapeError(Exception):
    def __init__(self, path: str, what: str, expected: str, got: object, remedy: str | None = None) -> None:
        super().__init__(what)
        self.path = path
        self.what = what
        self.expected = expected
        text = repr(got)
        self.got = text if len(text) <= 120 else text[:117] + "..."
        self.remedy = remedy


def _check_record(record: object) -> None:
    if type(record) is not dict:
        raise _ShapeError("record", "not an object", "{...}", record)
    if not record.keys() <= RECORD_KEYS:
        _refuse_unknown("record", record, RECORD_KEYS)
    sample_id = record.get("sample_id")
    if type(sample_id) is not str or not sample_id:
        raise _ShapeError("sample_id", "missing or not text", "a string, unique in its file", sample_id)
    if record.get("image") is None and "lidar" not in record:
        raise _ShapeError("record", "shows nothing", "image or lidar", sorted(record))
    if "image" in record:
        _check_image(record["image"])
    if "lidar" in record:
        _check_lidar(record["lidar"])
    labels = record.get("labels")
    if type(labels) is not dict:
        raise _ShapeError("labels", "missing or not an object", "{task: label}; {} where nothing is labelled", labels)
    for task, label in labels.items():
        _check_label(task, label)
    if "attributes" in record:
        _check_attributes("attributes", record["attributes"])


def _check_image(image: Any) -> None:
    if type(image) is not dict:
        remedy = "leave the key out where there is no image" if image is None else None
        raise _ShapeError("image", "not an object", "{path, width, height}", image, remedy)
    if image.keys() != IMAGE_KEYS:
        _refuse_unknown("image", image, IMAGE_KEYS)
        raise _ShapeError("image", f"lacks {', '.join(sorted(IMAGE_KEYS - image.keys()))}", "{path, width, height}", image)
    _check_path("image.path", image["path"])
    for key in ("width", "height"):
        size_px = image[key]
        if type(size_px) is not int or not 0 < size_px < _MAX_PX:
            raise _ShapeError(f"image.{key}", "not a size", "a positive integer in pixels", size_px)


def _check_lidar(lidar: Any) -> None:
    if type(lidar) is not dict:
        raise _ShapeError("lidar", "not an object", "{path, dtype, num_features, origin}", lidar)
    _refuse_unknown("lidar", lidar, LIDAR_KEYS | LIDAR_OPTIONS)
    if missing := sorted(LIDAR_KEYS - lidar.keys()):
        raise _ShapeError("lidar", f"lacks {', '.join(missing)}", "{path, dtype, num_features, origin}", lidar)
    _check_path("lidar.path", lidar["path"])
    if type(lidar["dtype"]) is not str or not lidar["dtype"]:
        raise _ShapeError("lidar.dtype", "not a type's name", "such as 'float32'", lidar["dtype"])
    if type(lidar["num_features"]) is not int or lidar["num_features"] < 3:
        raise _ShapeError("lidar.num_features", "not a count", "an integer, at least 3 (x, y, z)", lidar["num_features"])
    _check_numbers("lidar.origin", lidar["origin"], 3)
    if "intensity_max" in lidar:
        intensity_max = lidar["intensity_max"]
        if not _is_number(intensity_max) or intensity_max <= 0:
            raise _ShapeError("lidar.intensity_max", "not a scale", "a number above 0, such as 255", intensity_max)


def _check_label(task: str, label: Any) -> None:
    if type(label) is not dict:
        raise _ShapeError(f"labels.{task}", "not an object", "a label; leave the key out where nothing is known", label)
    payload = None
    for key in label:
        if key in _PAYLOADS:
            if payload is not None:
                raise _ShapeError(f"labels.{task}", "holds labels of two kinds", f"{payload} or {key}", sorted(label))
            payload = key
    if payload is None:
        _refuse_unknown(f"labels.{task}", label, {*_PAYLOADS, *AVAILABILITY_KEYS})
        expected = f"one of {', '.join(_PAYLOADS)}"
        raise _ShapeError(f"labels.{task}", "holds no labels", expected, sorted(label), "an empty list is a true negative")
    check, companions = _PAYLOADS[payload]
    if len(label) > 1:
        allowed = companions | AVAILABILITY_KEYS
        for key in label:
            if key != payload and key not in allowed:
                _refuse_unknown(f"labels.{task}", label, {payload, *allowed})
        _check_availability(task, label)
    check(task, label)


def _check_availability(task: str, label: Label) -> None:
    for key in ("labelled_categories", "non_exhaustive_categories"):
        if key in label:
            _check_names(f"labels.{task}.{key}", label[key])
            if len(set(label[key])) != len(label[key]):
                raise _ShapeError(f"labels.{task}.{key}", "names a class twice", "each class once", label[key])
    if "category_sets" in label:
        sets = label["category_sets"]
        path = f"labels.{task}.category_sets"
        if type(sets) is not dict:
            raise _ShapeError(path, "not an object", "{name: [classes]}", sets)
        for name, members in sets.items():
            _check_names(f"{path}.{name}", members)
            if not members:
                raise _ShapeError(f"{path}.{name}", "an empty set", "one or more classes", members)


def _check_boxes(task: str, label: Label) -> None:
    boxes = label["boxes"]
    path = f"labels.{task}.boxes"
    if type(boxes) is not list:
        raise _ShapeError(path, "not a list", "[[x1, y1, x2, y2], ...] in pixels", boxes)
    for i, box in enumerate(boxes):
        try:
            x1, y1, x2, y2 = box
            usable = -_MAX_PX < x1 < x2 < _MAX_PX and -_MAX_PX < y1 < y2 < _MAX_PX
        except (TypeError, ValueError):
            usable = False
        if not usable:
            raise _ShapeError(f"{path}[{i}]", "not a box", "[x1, y1, x2, y2] with x1 < x2 and y1 < y2, in pixels", box)
    _check_parallel(task, label, len(boxes))


def _check_parallel(task: str, label: Label, num_items: int, items: str = "boxes") -> None:
    path = f"labels.{task}.categories"
    categories = label.get("categories")
    _check_names(path, categories)
    if len(categories or ()) != num_items:
        raise _ShapeError(path, f"as many categories as {items} are needed", f"{num_items} names", categories)
    if "ignore" in label:
        ignore = label["ignore"]
        if type(ignore) is not list or len(ignore) != num_items or any(type(flag) is not bool for flag in ignore):
            raise _ShapeError(f"labels.{task}.ignore", "not a flag a box", f"{num_items} times true or false", ignore)


def _check_mask(task: str, label: Label) -> None:
    _check_path(f"labels.{task}.mask", label["mask"])


def _check_polylines(task: str, label: Label) -> None:
    polylines = label["polylines"]
    path = f"labels.{task}.polylines"
    if type(polylines) is not list:
        raise _ShapeError(path, "not a list", "[{category, points}, ...]", polylines)
    for i, polyline in enumerate(polylines):
        if type(polyline) is not dict or polyline.keys() != {"category", "points"}:
            raise _ShapeError(f"{path}[{i}]", "not a polyline", "{category, points}", polyline)
        if polyline["category"] is not None and type(polyline["category"]) is not str:
            expected = "a string; null where the line's pixels are to be ignored"
            raise _ShapeError(f"{path}[{i}].category", "not a class's name", expected, polyline["category"])
        _check_points(f"{path}[{i}].points", polyline["points"], min_points=2)
    if "ignore_regions" in label:
        regions = label["ignore_regions"]
        path = f"labels.{task}.ignore_regions"
        if type(regions) is not list:
            raise _ShapeError(path, "not a list", "[[[x, y], ...], ...], one list of corners a polygon", regions)
        for i, corners in enumerate(regions):
            _check_points(f"{path}[{i}]", corners, min_points=3)
            if any(abs(value) >= _MAX_PX for corner in corners for value in corner):
                raise _ShapeError(f"{path}[{i}]", "not in pixels", f"coordinates below {_MAX_PX:g}", corners)


def _check_point_labels(task: str, label: Label) -> None:
    _check_path(f"labels.{task}.point_labels", label["point_labels"])
    if type(label.get("taxonomy")) is not str or not label["taxonomy"]:
        raise _ShapeError(
            f"labels.{task}.taxonomy", "missing or not text", "name of the integers' meaning", label.get("taxonomy")
        )


def _check_boxes_3d(task: str, label: Label) -> None:
    boxes = label["boxes_3d"]
    path = f"labels.{task}.boxes_3d"
    if type(boxes) is not list:
        raise _ShapeError(path, "not a list", "[[x, y, z, length, width, height, yaw], ...] in the points' frame", boxes)
    for i, box in enumerate(boxes):
        _check_numbers(f"{path}[{i}]", box, 7)
        if min(box[3:6]) <= 0:
            expected = "length, width and height above 0 after the centre's x, y, z; yaw at the end"
            raise _ShapeError(f"{path}[{i}]", "not a box", expected, box)
    _check_parallel(task, label, len(boxes))
    if "labelled_region" in label:
        _check_points(f"labels.{task}.labelled_region", label["labelled_region"], min_points=3)


def _check_polygons(task: str, label: Label) -> None:
    polygons = label["polygons"]
    path = f"labels.{task}.polygons"
    if type(polygons) is not list:
        raise _ShapeError(path, "not a list", "[[[x, y], ...], ...] in the points' frame, metres", polygons)
    for i, corners in enumerate(polygons):
        _check_points(f"{path}[{i}]", corners, min_points=3)
    _check_parallel(task, label, len(polygons), "polygons")


def _check_points(path: str, points: Any, min_points: int) -> None:
    if type(points) is not list or len(points) < min_points:
        raise _ShapeError(path, "too few points", f"[[x, y], ...], at least {min_points}", points)
    for i, point in enumerate(points):
        _check_numbers(f"{path}[{i}]", point, 2)


def _check_numbers(path: str, values: Any, count: int) -> None:
    if type(values) is not list or len(values) != count or not all(map(_is_number, values)):
        raise _ShapeError(path, "not numbers", f"{count} finite numbers", values)


def _is_number(value: Any) -> bool:
    return (type(value) is float or type(value) is int) and math.isfinite(value)


def _check_names(path: str, names: Any) -> None:
    if type(names) is not list:
        raise _ShapeError(path, "missing or not a list", "a list of names", names)
    for name in names:
        if type(name) is not str or not name:
            raise _ShapeError(path, "holds something else than names", "a list of names", names)


def _check_path(path: str, value: Any) -> None:
    if type(value) is not str or not value or "\0" in value:
        raise _ShapeError(path, "not a path", "a path relative to the index file, an absolute one, or a URL", value)


def _check_attributes(path: str, attributes: Any) -> None:
    if type(attributes) is not dict:
        raise _ShapeError(path, "not an object", "{...}", attributes)
    for key, value in attributes.items():
        if type(value) is dict:
            _check_attributes(f"{path}.{key}", value)
        elif type(value) is float and not -_INT64_END <= value < _INT64_END:
            # The parser turns integers of more than 64 bits into floats without a word.
            raise _ShapeError(f"{path}.{key}", "does not fit into 64 bits", "a number below 2^63, or a string", value)


def _refuse_unknown(path: str, members: Mapping[str, Any], known: Collection[str]) -> None:
    for key in members:
        if key not in known:
            what = f"unknown key {key!r}"
            raise _ShapeError(path, what, f"some of {', '.join(sorted(known))}", key, nearest(key, known))


_PAYLOADS: dict[str, tuple[Callable[[str, Label], None], frozenset[str]]] = {
    "boxes": (_check_boxes, frozenset({"categories", "ignore"})),
    "mask": (_check_mask, frozenset()),
    "polylines": (_check_polylines, frozenset({"ignore_regions"})),
    "point_labels": (_check_point_labels, frozenset({"taxonomy"})),
    "boxes_3d": (_check_boxes_3d, frozenset({"categories", "ignore", "labelled_region"})),
    "polygons": (_check_polygons, frozenset({"categories"})),
}

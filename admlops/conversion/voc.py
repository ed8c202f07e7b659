"""Pascal VOC XML, and the many sets in its layout -> detection tasks.

Layout: ``Annotations/x.xml`` (or ``annotations/``), ``JPEGImages/x.{jpg,jpeg,png}`` (or ``images/``), and
``ImageSets/Main/<split>.txt`` where a part is wanted; in the source folder itself, in ``VOC*/`` or in ``VOCdevkit/VOC*/``.
Boxes count pixels from 1 and include the last.

Everingham et al., "The Pascal visual object classes (VOC) challenge", IJCV 2010.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from admlops.conversion.box_labels import BoxLabels
from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.file_stems import PHOTO_SUFFIXES, file_stems
from admlops.conversion.photo_box import fit_box
from admlops.conversion.photo_file import PhotoFile, read_photo
from admlops.conversion.riders import may_ride
from admlops.conversion.voc_classes import GRAMMAR, PRESETS, BoxTarget, VocClasses
from admlops.conversion.voc_xml import XmlElement, read_xml
from admlops.errors import ConversionError, nearest

_SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocObject:
    """One ``object`` of a VOC file.

    Attributes:
        name: Its name.
        difficult: Whether the annotators found it hard to recognise.
        box_px: x1, y1, x2, y2, from 0, the last pixel included in full.
        line: Where it begins, from 1.
    """

    name: str
    difficult: bool
    box_px: tuple[float, float, float, float]
    line: int


@dataclass(frozen=True)
class VocConverter(Converter):
    """Pascal VOC XML: VOC itself, road signs, traffic lights, or your own set with --map.

    Attributes:
        classes: Which set it is: what its object names become.
        mapping: ``NAME=TASK/CLASS``...: the user's own instead.
        some_of: ``TASK/CLASS``...: classes of ``mapping`` of which the set boxes only some.
    """

    classes: str = "voc2012"
    mapping: tuple[str, ...] = ()
    some_of: tuple[str, ...] = ()

    name: ClassVar[str] = "voc"
    revision: ClassVar[int] = 1
    tasks: ClassVar[tuple[str, ...]] = ()
    splits: ClassVar[tuple[str, ...]] = ("all", "train", "val", "trainval", "test")

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("mapping", "some_of"):
            object.__setattr__(self, option, tuple(getattr(self, option)))
        if self.classes not in PRESETS:
            raise ConversionError(
                f"no set {self.classes!r}", expected=f"one of {', '.join(PRESETS)}", remedy=nearest(self.classes, PRESETS)
            )
        if self.some_of and not self.mapping:
            raise ConversionError(
                "--some-of without --map", expected="--map NAME=TASK/CLASS... beside it", got=" ".join(self.some_of)
            )
        # What is labelled depends on the set: an instance's own tasks stand before those of its class.
        object.__setattr__(self, "tasks", tuple(self._voc_classes().labelled))

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add ``--classes``, ``--map`` and ``--some-of``."""
        parser.add_argument("--classes", choices=PRESETS, default="voc2012", help="which set it is (default: %(default)s)")
        parser.add_argument(
            "--map",
            dest="mapping",
            nargs="+",
            action="extend",
            default=[],
            metavar="NAME=TASK/CLASS",
            help=f"what your own object names become, instead of --classes: {GRAMMAR}",
        )
        parser.add_argument(
            "--some-of",
            nargs="+",
            action="extend",
            default=[],
            metavar="TASK/CLASS",
            help="classes of --map of which your set boxes only some",
        )

    def frames(self) -> Iterator[SourceFrame]:
        """List ``Annotations/`` or the names of ``ImageSets/Main/<split>.txt``."""
        root = self._root()
        annotations, photos = _first_folder(root, "Annotations", "annotations"), _first_folder(root, "JPEGImages", "images")
        photo_names = file_stems(photos, PHOTO_SUFFIXES)
        for name, listed_in in self._names(root, annotations, photo_names):
            # Where no photo is there, the usual one is named.
            photo = photos / photo_names.get(name, f"{name}.jpg")
            yield SourceFrame(name, {"image": photo, "boxes": annotations / f"{name}.xml"}, listed_in)

    def convert(self, frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
        """Sort a photo's objects into the tasks."""
        classes = self._voc_classes()
        path, photo = frame.files["boxes"], read_photo(frame.files["image"])
        objects = read_objects(path, photo, writer)
        cycles = [item.box_px for item in objects if item.name in classes.cycles]
        labels = {task: BoxLabels() for task in classes.labelled}
        for item in objects:
            writer.tally.count("source", item.name)
            targets = classes.of(item.name, f"{path}:{item.line}")
            riding = item.name == classes.riders and may_ride(item.box_px, cycles)
            if refusal := _refusal(item, targets, riding):
                writer.tally.refuse(f"{item.name}, {refusal}")
            for target in targets:
                labels[target.task].add(item.box_px, target.category, ignore=target.ignore or item.difficult or riding)
        return {
            "sample_id": frame.sample_id,
            "image": writer.image_entry(photo, f"images/{photo.path.name}"),
            "labels": {
                task: boxes.to_label(classes.labelled[task], classes.some_of.get(task, ())) for task, boxes in labels.items()
            },
            "attributes": {"source": self.name, "split": self.split, "classes": "map" if self.mapping else self.classes},
        }

    def _voc_classes(self) -> VocClasses:
        return VocClasses.parse(self.mapping, self.some_of) if self.mapping else PRESETS[self.classes]

    def _root(self) -> Path:
        candidates = [
            self.source_root,
            *sorted(self.source_root.glob("VOC*")),
            *sorted(self.source_root.glob("VOCdevkit/VOC*")),
        ]
        roots = [root for root in candidates if any((root / name).is_dir() for name in ("Annotations", "annotations"))]
        if len(roots) != 1:
            raise ConversionError(
                "a folder of VOC's layout is missing" if not roots else "the source folder holds several VOC sets",
                where=self.source_root,
                expected="Annotations/ or annotations/, in this folder, in VOC*/ or in VOCdevkit/VOC*/ below it",
                got=", ".join(map(str, roots)) or "none",
                remedy="give one of them as SRC" if roots else "SRC is the folder that holds Annotations/",
            )
        return roots[0]

    def _names(self, root: Path, annotations: Path, photo_names: dict[str, str]) -> Iterator[tuple[str, str]]:
        if self.split == "all":
            # Either folder may lack a file: both are listed, so that the missing one is named.
            yield from ((name, str(root)) for name in sorted(file_stems(annotations, (".xml",)) | photo_names))
            return
        listing = root / "ImageSets" / "Main" / f"{self.split}.txt"
        if not listing.is_file():
            raise ConversionError(
                f"the list of split {self.split!r} is missing",
                where=listing,
                expected="one name a line",
                remedy="put the list there, or convert everything with --split all",
            )
        for number, line in enumerate(listing.read_text(encoding="utf-8").splitlines(), start=1):
            name = line.strip()
            if name and (len(name.split()) != 1 or "/" in name):
                raise ConversionError(
                    "malformed line in a VOC list", where=f"{listing}:{number}", expected="one photo's name", got=repr(line)
                )
            if name:
                yield name, f"{listing}:{number}"


def read_objects(path: Path, photo: PhotoFile, writer: FrameWriter) -> list[VocObject]:
    """Read a VOC file.

    Args:
        path: The file.
        photo: Its photo: boxes outside of it are refused.
        writer: Counts files whose ``size`` is not the photo's.

    Returns:
        Its objects, in the order of the file.

    Raises:
        ConversionError: Truncated or malformed; names file and line.
    """
    root = read_xml(path)
    if root.tag != "annotation":
        raise _malformed(path, root.line, "<annotation> around everything", f"<{root.tag}>")
    _check_size(root, path, photo, writer)
    return [_parse_object(element, path, photo) for element in root.children if element.tag == "object"]


def _check_size(root: XmlElement, path: Path, photo: PhotoFile, writer: FrameWriter) -> None:
    # A photo that was scaled or turned since has its boxes elsewhere; other sizes are a tool's mistake: boxes are checked.
    size = root.child("size")
    if size is None:
        return
    width, height = (int(_number(size, tag, path)) for tag in ("width", "height"))
    if (width, height) == (photo.width, photo.height) or 0 in (width, height):
        return
    turned = (height, width) == (photo.width, photo.height)
    scaled = math.isclose(width / height, photo.width / photo.height, rel_tol=0.01)
    if turned or scaled:
        raise ConversionError(
            f"the photo was {'turned' if turned else 'scaled'} after it was annotated",
            where=f"{path}:{size.line}",
            expected=f"{photo.width}x{photo.height} like {photo.path}",
            got=f"{width}x{height}",
            remedy="get the photo that was annotated; where only the size is wrong, set it to 0",
        )
    writer.tally.refuse("size in the XML file is wrong: the photo's own is taken")


def _parse_object(element: XmlElement, path: Path, photo: PhotoFile) -> VocObject:
    name = _child(element, "name", path).text
    difficult = element.child("difficult")
    if difficult is not None and difficult.text not in {"", "0", "1"}:
        raise _malformed(path, difficult.line, "<difficult> 0 or 1", repr(difficult.text))
    box = _child(element, "bndbox", path)
    x1, y1, x2, y2 = (_number(box, side, path) for side in _SIDES)
    box_px = fit_box((x1 - 1, y1 - 1, x2, y2), photo, partial(_malformed, path, box.line))
    return VocObject(name, difficult is not None and difficult.text == "1", box_px, element.line)


def _first_folder(root: Path, usual: str, other: str) -> Path:
    if not (root / usual).is_dir() and (root / other).is_dir():
        return root / other
    if not (root / usual).is_dir():
        raise ConversionError(
            "a folder of VOC's layout is missing",
            where=root / usual,
            expected=f"{usual}/ or {other}/",
            remedy="complete the source",
        )
    return root / usual


def _child(element: XmlElement, tag: str, path: Path) -> XmlElement:
    child = element.child(tag)
    if child is None:
        raise _malformed(path, element.line, f"<{tag}> in <{element.tag}>", "none")
    return child


def _number(element: XmlElement, tag: str, path: Path) -> float:
    child = _child(element, tag, path)
    try:
        number = float(child.text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _malformed(path, child.line, f"a number in <{tag}>", repr(child.text))
    return number


def _refusal(item: VocObject, targets: tuple[BoxTarget, ...], riding: bool) -> str:
    if not targets:
        return "mapped to nothing: left out"
    if item.difficult:
        return "difficult: ignore box"
    if riding:
        return "perhaps on a cycle: ignore box"
    return "mapped to ignore: ignore box" if any(target.ignore for target in targets) else ""


def _malformed(path: Path, line: int, expected: str, got: str) -> ConversionError:
    return ConversionError("malformed VOC annotation", where=f"{path}:{line}", expected=expected, got=got)

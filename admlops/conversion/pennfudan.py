"""Penn-Fudan pedestrians -> ``det_person``.

Layout: ``Annotation/x.txt`` (PASCAL Annotation 1.00) and ``PNGImages/x.png``, in the source folder or in ``PennFudanPed/``
below it. Boxes count pixels from 1 and include the last.

Wang, Shi, Song, Shen, "Object detection combining recognition and segmentation", ACCV 2007.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from admlops.conversion.box_labels import BoxLabels
from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.file_stems import file_stems
from admlops.conversion.photo_box import fit_box
from admlops.conversion.photo_file import PhotoFile, read_photo
from admlops.errors import ConversionError

TASK = "det_person"
PERSON_PREFIX = "PASperson"
"""PASCAL's types go on with what the person does, such as ``PASpersonWalking``."""

_SIZE = re.compile(r"Image size \(X x Y x C\) : (\d+) x (\d+) x \d+\s*")
_COUNT = re.compile(r"Objects with ground truth : (\d+) \{.*\}\s*")
_BOX = re.compile(
    r'Bounding box for object (\d+) "(\w+)" \(Xmin, Ymin\) - \(Xmax, Ymax\) : \((\d+), (\d+)\) - \((\d+), (\d+)\)\s*'
)
_MASK = re.compile(r'Pixel mask for object (\d+) "\w+" : ".+"\s*')


@dataclass(frozen=True)
class PennFudanObject:
    """One pedestrian.

    Attributes:
        type: Walking or standing, as the source calls it.
        box_px: x1, y1, x2, y2, from 0, the last pixel included in full.
    """

    type: str
    box_px: tuple[float, float, float, float]


@dataclass(frozen=True)
class PennFudanConverter(Converter):
    """Penn-Fudan pedestrians: boxes of persons, some left out."""

    name: ClassVar[str] = "pennfudan"
    revision: ClassVar[int] = 1
    tasks: ClassVar[tuple[str, ...]] = (TASK,)
    splits: ClassVar[tuple[str, ...]] = ("all",)

    def frames(self) -> Iterator[SourceFrame]:
        """List ``Annotation/`` and ``PNGImages/``."""
        root = self.source_root / "PennFudanPed"
        root = root if root.is_dir() else self.source_root
        for needed in ("Annotation", "PNGImages"):
            if not (root / needed).is_dir():
                raise ConversionError(
                    "a folder of Penn-Fudan's layout is missing",
                    where=root / needed,
                    expected=f"{needed}/ in the source folder or in PennFudanPed/ below it",
                    remedy="complete the source",
                )
        # Either folder may lack a file: both are listed, so that the missing one is named.
        names = file_stems(root / "Annotation", (".txt",)) | file_stems(root / "PNGImages", (".png",))
        for name in sorted(names):
            files = {"image": root / "PNGImages" / f"{name}.png", "boxes": root / "Annotation" / f"{name}.txt"}
            yield SourceFrame(name, files, str(root))

    def convert(self, frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
        """Take over a photo's pedestrians."""
        photo = read_photo(frame.files["image"])
        boxes = BoxLabels()
        for item in read_objects(frame.files["boxes"], photo):
            writer.tally.count("source", item.type)
            boxes.add(item.box_px, "person")
        return {
            "sample_id": frame.sample_id,
            "image": writer.image_entry(photo, f"images/{frame.sample_id}.png"),
            # The file itself says that persons who are small or mostly hidden are left out.
            "labels": {TASK: boxes.to_label(["person"], non_exhaustive=["person"])},
            "attributes": {"source": self.name, "split": self.split},
        }


def read_objects(path: Path, photo: PhotoFile) -> list[PennFudanObject]:
    """Read an annotation file.

    Args:
        path: The file.
        photo: Its photo.

    Returns:
        Its pedestrians, in the order of the file.

    Raises:
        ConversionError: Truncated or malformed; names file and line.
    """
    announced: int | None = None
    objects: list[PennFudanObject] = []
    num_complete = 0
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        where = f"{path}:{number}"
        if line.startswith("Image size"):
            width, height = (int(word) for word in _match(_SIZE, line, where))
            if (width, height) != (photo.width, photo.height):
                raise _malformed(where, f"{photo.width}x{photo.height} like {photo.path}", f"{width}x{height}")
        elif line.startswith("Objects with"):
            announced = int(_match(_COUNT, line, where)[0])
        elif line.startswith("Bounding box"):
            objects.append(_parse_object(line, where, photo, expected_number=len(objects) + 1))
        elif line.startswith("Pixel mask"):
            # The last line about an object: with it the box before it is known to be whole.
            _match(_MASK, line, where)
            num_complete += 1
    if announced is None or not announced == len(objects) == num_complete:
        raise ConversionError(
            "the annotation file is truncated",
            where=f"{path}:{len(lines)}",
            expected="a line 'Objects with ground truth'" if announced is None else f"{announced} objects with box and mask",
            got="none" if announced is None else f"{len(objects)} boxes, {num_complete} masks",
            remedy="fetch the file again, then run the same command: it continues",
        )
    return objects


def _parse_object(line: str, where: str, photo: PhotoFile, expected_number: int) -> PennFudanObject:
    number, kind, *corners = _match(_BOX, line, where)
    if int(number) != expected_number:
        raise _malformed(where, f"object {expected_number}", f"object {number}")
    if not kind.startswith(PERSON_PREFIX):
        raise _malformed(where, f"a type that begins with {PERSON_PREFIX}", repr(kind))
    x1, y1, x2, y2 = (float(word) for word in corners)
    return PennFudanObject(kind, fit_box((x1 - 1, y1 - 1, x2, y2), photo, partial(_malformed, where)))


def _match(pattern: re.Pattern[str], line: str, where: str) -> tuple[str, ...]:
    found = pattern.fullmatch(line)
    if found is None:
        raise _malformed(where, f"a line like {pattern.pattern!r}", repr(line))
    return found.groups()


def _malformed(where: str, expected: str, got: str) -> ConversionError:
    return ConversionError("malformed line in a Penn-Fudan annotation", where=where, expected=expected, got=got)

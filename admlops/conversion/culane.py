"""CULane -> ``seg_lane``.

Layout: ``list/{train,val,test}.txt`` (an image a line, from the source folder) or ``list/{train,val}_gt.txt`` (image, mask and
four flags; the first word counts); beside each image ``<image>.lines.txt``: one lane a line as ``x y x y ...``.

Pan et al., "Spatial as deep: spatial CNN for traffic scene understanding", AAAI 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.lane_labels import ANY_LANE, TASK, LaneLabels
from admlops.conversion.photo_file import read_photo
from admlops.errors import ConversionError

_WORDS_OF_GT_LISTS = 6


@dataclass(frozen=True)
class CULaneConverter(Converter):
    """CULane: the lines of the vehicle's own and of the neighbouring lanes, without classes."""

    name: ClassVar[str] = "culane"
    revision: ClassVar[int] = 1
    tasks: ClassVar[tuple[str, ...]] = (TASK.name,)
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")

    def frames(self) -> Iterator[SourceFrame]:
        """Read ``list/<split>.txt``, or ``list/<split>_gt.txt`` where there is no other."""
        listing = self._listing()
        with listing.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, start=1):
                words = line.split()
                if not words:
                    continue
                where = f"{listing}:{number}"
                path = PurePosixPath(words[0].lstrip("/"))
                if len(words) not in {1, _WORDS_OF_GT_LISTS} or path.suffix != ".jpg" or ".." in path.parts:
                    raise ConversionError(
                        "malformed line in a CULane list",
                        where=where,
                        expected="/driver_X/Y.MP4/NNNNN.jpg, in lists of ground truth with its mask and four flags behind it",
                        got=repr(line.rstrip("\n")),
                    )
                image = self.source_root / path
                files = {"image": image, "lanes": image.with_suffix(".lines.txt")}
                yield SourceFrame("_".join(path.with_suffix("").parts), files, where)

    def convert(self, frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
        """Read the frame's lines; an empty file says that there is none."""
        photo = read_photo(frame.files["image"])
        labels = LaneLabels(photo.width, photo.height, writer.tally)
        for where, points in read_lanes(frame.files["lanes"]):
            labels.add("lane", ANY_LANE, points, where)
        labels.ignore_outside()
        return {
            "sample_id": frame.sample_id,
            "image": writer.image_entry(photo, f"images/{frame.sample_id}.jpg"),
            "labels": {TASK.name: labels.to_label()},
            "attributes": {"source": self.name, "split": self.split, "scene": photo.path.parent.name},
        }

    def _listing(self) -> Path:
        folder = self.source_root / "list"
        for name in (f"{self.split}.txt", f"{self.split}_gt.txt"):
            if (folder / name).is_file():
                return folder / name
        present = sorted(path.name for path in folder.glob("*.txt"))
        raise ConversionError(
            f"the list of split {self.split!r} is missing",
            where=folder / f"{self.split}.txt",
            expected="one image a line",
            got=f"lists: {', '.join(present)}" if present else "no list at all",
            remedy="SRC is the folder that holds list/ and the driver_* folders",
        )


def read_lanes(path: Path) -> list[tuple[str, list[tuple[float, float]]]]:
    """Read a ``.lines.txt``.

    Args:
        path: The file; empty where no lane is in view.

    Returns:
        Of each lane ``file:line`` and its (x, y), px, in the order of the file.

    Raises:
        ConversionError: Truncated or malformed; names file and line.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    lanes = []
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        where = f"{path}:{number}"
        if not line.endswith("\n"):
            raise ConversionError(
                "the lane file is truncated",
                where=where,
                expected="a newline at the end of each lane",
                got=repr(line[-40:]),
                remedy="fetch the file again, then run the same command: it continues",
            )
        words = line.split()
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            numbers = []
        if len(numbers) != len(words) or len(numbers) % 2:
            raise ConversionError(
                "malformed line in a CULane lane file",
                where=where,
                expected="x y x y ...",
                got=f"{len(words)} words: {line[:60]!r}",
            )
        if numbers:
            lanes.append((where, list(zip(numbers[::2], numbers[1::2], strict=True))))
    return lanes

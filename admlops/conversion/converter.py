"""The contract of a converter: list the source's frames, turn one frame into one record."""

from __future__ import annotations

import argparse
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from admlops.conversion.photo_file import PhotoFile
from admlops.conversion.png_file import PngFile
from admlops.conversion.sweep_file import SweepFile
from admlops.conversion.tally import IGNORED, Tally
from admlops.errors import ConversionError, nearest
from admlops.task_spec import IGNORE_INDEX, TaskSpec


@dataclass(frozen=True)
class SourceFrame:
    """One frame of a source: its name and the files that it is made of.

    Attributes:
        sample_id: Unique in the split; also names derived files, so it holds no slash.
        files: Role (``image``, ``mask``, ``boxes``, ``lidar``...) -> file. All must exist.
        listed_in: ``file:line`` or folder that names the frame, for errors.
        annotation: What a file of many frames says of this one, as JSON values; ``convert`` finds it here instead of reading
            that file again.
    """

    sample_id: str
    files: Mapping[str, Path]
    listed_in: str
    annotation: Any = None


@dataclass
class FrameWriter:
    """Where a converter puts what it derives from a frame, and what it counts.

    Attributes:
        folder: The release that is being built; paths in records are relative to it.
        scratch: Beside it: where a file lies until it is complete.
        copy: Copy images and lidar sweeps into the release instead of naming the originals.
        tally: Counts of this part of the conversion.
    """

    folder: Path
    scratch: Path
    copy: bool = False
    tally: Tally = field(default_factory=Tally)

    def reference(self, source: Path, name: str) -> str:
        """Name an original file in a record.

        Args:
            source: The original.
            name: Where its copy would lie in the release, such as ``images/000001.png``.

        Returns:
            The copy's path relative to the JSONL file where files are copied, else the original's absolute path.
        """
        if not self.copy:
            return os.path.abspath(source)  # noqa: PTH100 - resolve() would follow links that people set on purpose
        with self._open(name) as partial:
            shutil.copyfile(source, partial)
        return name

    def image_entry(self, photo: PhotoFile | PngFile, name: str) -> dict[str, Any]:
        """Name a frame's photo and its size in a record.

        Args:
            photo: The original.
            name: Where its copy would lie in the release.

        Returns:
            The record's ``image``.
        """
        return {"path": self.reference(photo.path, name), "width": photo.width, "height": photo.height}

    def sweep_entry(
        self, sweep: SweepFile, name: str, origin: Sequence[float] = (0.0, 0.0, 0.0), intensity_max: float | None = None
    ) -> dict[str, Any]:
        """Name a frame's lidar sweep in a record, and count its points.

        Args:
            sweep: The original.
            name: Where its copy would lie in the release, such as ``lidar/000001.bin``.
            origin: The sensor's position in the points' frame, m.
            intensity_max: What the largest intensity is, where that is not 1.

        Returns:
            The record's ``lidar``.
        """
        return self._sweep_entry(self.reference(sweep.path, name), sweep.num_points, sweep.num_features, origin, intensity_max)

    def write_sweep(
        self, points: npt.NDArray[np.float32], name: str, origin: Sequence[float], intensity_max: float | None = None
    ) -> dict[str, Any]:
        """Write a sweep whose original is no raw file of float32, and count its points.

        Args:
            points: (N, 3 or more) x, y, z in m, intensity.
            name: Where it lies in the release, such as ``lidar/000001.bin``.
            origin: The sensor's position in the points' frame, m.
            intensity_max: What the largest intensity is, where that is not 1.

        Returns:
            The record's ``lidar``.
        """
        with self._open(name) as partial:
            partial.write_bytes(np.ascontiguousarray(points, dtype="<f4").tobytes())
        return self._sweep_entry(name, points.shape[0], points.shape[1], origin, intensity_max)

    def _sweep_entry(
        self, path: str, num_points: int, num_features: int, origin: Sequence[float], intensity_max: float | None
    ) -> dict[str, Any]:
        self.tally.count("lidar", "points", by=num_points)
        entry = {"path": path, "dtype": "float32", "num_features": num_features, "origin": [float(x) for x in origin]}
        return entry if intensity_max is None else {**entry, "intensity_max": intensity_max}

    def write_mask(self, mask: npt.NDArray[np.uint8], name: str, task: TaskSpec, set_names: Sequence[str] = ()) -> str:
        """Write an index mask and count its pixels.

        Args:
            mask: (H, W) channel of the task, ``num_channels + s`` for category set s, or 255 = ignore.
            name: Where it lies in the release, such as ``masks/0006R0_f00930.png``.
            task: Whose channels they are.
            set_names: Names of the category sets, in the order of the record.

        Returns:
            Its path relative to the JSONL file.
        """
        # OpenCV's default strategy, run lengths, takes twice as long to decode, and a mask is decoded once an epoch.
        encoded, content = cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_COMPRESSION, 3])
        if not encoded:  # pragma: no cover - an 8-bit array always encodes
            raise ConversionError("the mask cannot be encoded as PNG", where=name)
        with self._open(name) as partial:
            partial.write_bytes(content.tobytes())
        pixels = np.bincount(mask.ravel(), minlength=IGNORE_INDEX + 1)
        for value, class_name in enumerate((*task.channels, *set_names)):
            self.tally.count("classes", task.name, class_name, "pixels", by=int(pixels[value]))
        self.tally.count("classes", task.name, IGNORED, "pixels", by=int(pixels[IGNORE_INDEX]))
        return name

    @contextmanager
    def _open(self, name: str) -> Iterator[Path]:
        # Never a half-written file under its final name: a conversion that was killed is continued.
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = self.scratch / f"{os.getpid()}{target.suffix}"
        yield partial
        partial.replace(target)


@dataclass(frozen=True)
class Converter(ABC):
    """A source format. Subclasses are frozen dataclasses, because they travel to worker processes.

    Attributes:
        source_root: Folder of the source in its original layout.
        split: Which part of it.
        name: The format's name on the command line.
        revision: Raised when the same source would give other records: a conversion broken off before is not continued.
        tasks: What the source labels: the release's ``task_tags``, as far as a record holds them.
        own_tasks: Those of them that are none of ``task_spec.TASKS``, by name.
        splits: The parts that a source can have; the first is the default.
    """

    source_root: Path
    split: str = ""

    name: ClassVar[str]
    revision: ClassVar[int]
    tasks: ClassVar[tuple[str, ...]]
    own_tasks: ClassVar[Mapping[str, TaskSpec]] = {}
    splits: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "source_root", Path(self.source_root))
        object.__setattr__(self, "split", self.split or self.splits[0])
        if self.split not in self.splits:
            raise ConversionError(
                f"{self.name} has no split {self.split!r}",
                expected=f"one of {', '.join(self.splits)}",
                got=repr(self.split),
                remedy=nearest(self.split, self.splits),
            )
        if not self.source_root.is_dir():
            raise ConversionError(f"the {self.name} source folder does not exist", where=self.source_root)

    @classmethod  # noqa: B027 - most formats have no option of their own
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add the format's own command-line options; each must be a field of the class.

        Args:
            parser: Parser of the format's sub-command.
        """

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the records besides the source's files: format, revision and every option."""
        options = {item.name: str(getattr(self, item.name)) for item in fields(self)}
        return {"format": self.name, "revision": self.revision, **options}

    @abstractmethod
    def frames(self) -> Iterator[SourceFrame]:
        """List the frames of the split, in the order of the records; read twice, so that they need not be kept.

        Yields:
            The frames.

        Raises:
            ConversionError: A list or folder is missing or malformed.
        """

    @abstractmethod
    def convert(self, frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
        """Turn one frame into one record (of all its sensors). Runs in worker processes.

        Args:
            frame: One of ``frames()``.
            writer: Where derived files go and counts are kept.

        Returns:
            The record.

        Raises:
            ConversionError: A file of the frame is truncated or malformed; names file, line, what was expected and what came.
        """

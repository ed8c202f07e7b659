"""From a source's index mask to a task's: what each id becomes, checked pixel by pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.conversion.converter import FrameWriter
from admlops.conversion.photo_file import PhotoFile
from admlops.conversion.png_file import PngFile
from admlops.errors import ConversionError
from admlops.task_spec import BACKGROUND, IGNORE_INDEX, TaskSpec


@dataclass(frozen=True)
class MaskClasses:
    """What the ids of a source's masks become in a task.

    Attributes:
        task: The task.
        class_of_id: The source's id -> (its name, class, category set or, of lanes, background of the task; None = ignore).
        category_sets: Name of each category set -> the classes that it may be.
    """

    task: TaskSpec
    class_of_id: Mapping[int, tuple[str, str | None]]
    category_sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def write(self, ids: npt.NDArray[Any], name: str, where: object, writer: FrameWriter) -> dict[str, Any]:
        """Write the task's mask of one frame and count the source's pixels.

        Args:
            ids: (H, W) uint8 or uint16, the source's ids.
            name: Where the mask lies in the release, such as ``masks/0006R0_f00930.png``.
            where: The source's file, for errors.
            writer: Of the frame.

        Returns:
            The record's label: ``mask``, ``category_sets`` where there are any, ``labelled_categories`` where the source
            lacks a class.

        Raises:
            ConversionError: An id that the source does not have; names its first pixel.
        """
        pixels = np.bincount(ids.ravel())
        present = np.flatnonzero(pixels).tolist()
        unknown = [value for value in present if value not in self.class_of_id]
        if unknown:
            row, column = np.argwhere(ids == unknown[0])[0]
            raise ConversionError(
                "the mask holds an id that this source does not have",
                where=f"{where} (row {row}, column {column})",
                expected=f"one of {', '.join(map(str, self.class_of_id))}",
                got=unknown[0],
            )
        channel_of_id = np.full(len(pixels), IGNORE_INDEX, dtype=np.uint8)
        for value in present:
            source_name, target = self.class_of_id[value]
            number = int(pixels[value])
            writer.tally.count("source", f"{source_name} (pixels)", by=number)
            if target is None:
                writer.tally.refuse(f"{source_name} pixels: ignored", by=number)
            else:
                channel_of_id[value] = self._channel(target)
        mask = writer.write_mask(channel_of_id[ids], name, self.task, tuple(self.category_sets))
        label: dict[str, Any] = {"mask": mask}
        if self.category_sets:
            label["category_sets"] = {name: list(members) for name, members in self.category_sets.items()}
        if len(self._labelled) < len(self.task.classes):
            label["labelled_categories"] = list(self._labelled)
        return label

    @property
    def _labelled(self) -> tuple[str, ...]:
        named = {target for _, target in self.class_of_id.values()}
        named.update(*self.category_sets.values())
        return tuple(name for name in self.task.classes if name in named)

    def _channel(self, target: str) -> int:
        sets = tuple(self.category_sets)
        if target in sets:
            return self.task.num_channels + sets.index(target)
        return 0 if target == BACKGROUND else self.task.channel_of(target)


def check_mask_size(mask: PngFile, image: PngFile | PhotoFile) -> None:
    """Refuse a mask that does not belong to its image.

    Args:
        mask: The mask's file.
        image: The image's file.

    Raises:
        ConversionError: Width or height differ.
    """
    if (image.width, image.height) != (mask.width, mask.height):
        raise ConversionError(
            "mask and image differ in size",
            where=mask.path,
            expected=f"{image.width}x{image.height} like {image.path}",
            got=f"{mask.width}x{mask.height}",
        )

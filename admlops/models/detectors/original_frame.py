"""Predictions from the network's input back to the pixels of the original."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from admlops.errors import ModelError
from admlops.models.heads.base_task_head import valid_hw
from admlops.structures import shown_window
from admlops.task_spec import IGNORE_INDEX


def to_original(prediction: BaseDataElement, meta: Mapping[str, Any], input_hw: tuple[int, int]) -> BaseDataElement:
    """Map one prediction from input to original pixels.

    Args:
        prediction: ``InstanceData`` or ``PixelData`` on the CPU, in pixels of the padded input.
        meta: Metainfo of the sample: ``ori_shape``, ``img_shape``, ``input_from_original``.
        input_hw: Height and width of the padded batch, px.

    Returns:
        Boxes clipped to the part of the original that the input shows; or a mask of the original's size, 255 elsewhere, alone
        unless the input is the original.

    Raises:
        ModelError: The sample lacks ``ori_shape`` or ``input_from_original``.
    """
    missing = [key for key in ("ori_shape", "input_from_original") if key not in meta]
    if missing:
        raise ModelError(
            "A sample to predict on lacks metainfo",
            where=meta.get("sample_id"),
            expected="ori_shape, input_from_original",
            got=f"no {', '.join(missing)}",
        )
    height, width = (int(side) for side in tuple(meta["ori_shape"])[:2])
    input_from_original = np.asarray(meta["input_from_original"], dtype=np.float64)
    valid_h, valid_w = valid_hw(meta, input_hw)
    if isinstance(prediction, InstanceData):
        window = shown_window(input_from_original, (valid_h, valid_w), (height, width))
        return _boxes_to_original(prediction, np.linalg.inv(input_from_original), window)
    if (valid_h, valid_w) == (height, width) and np.array_equal(input_from_original, np.eye(3)):
        # The input is the original, as a grid seen from above is: whatever else a pixel carries, a score say, stays.
        return prediction[:height, :width]
    mask = prediction.data[0].numpy()
    moved = warp_mask(mask[:valid_h, :valid_w], input_from_original, height, width)
    return PixelData(data=torch.from_numpy(moved)[None])


def _boxes_to_original(
    found: InstanceData, original_from_input: npt.NDArray[np.float64], window: tuple[float, float, float, float]
) -> InstanceData:
    corners = found.bboxes.double().reshape(-1, 2)
    matrix = torch.from_numpy(original_from_input)
    moved = (corners @ matrix[:2, :2].T + matrix[:2, 2]).reshape(-1, 4)
    # A flip swaps the corners of a box.
    corners_N22 = torch.stack([torch.min(moved[:, :2], moved[:, 2:]), torch.max(moved[:, :2], moved[:, 2:])], dim=1)
    left_top, right_bottom = torch.tensor(window, dtype=moved.dtype).reshape(2, 2)
    boxes = torch.min(torch.max(corners_N22, left_top), right_bottom).flatten(1).float()
    return InstanceData(bboxes=boxes, scores=found.scores, labels=found.labels)


def warp_mask(
    mask_HW: npt.NDArray[np.uint8], input_from_original: npt.NDArray[np.float64], height: int, width: int
) -> npt.NDArray[np.uint8]:
    """Sample a mask of the input at the pixels of the original.

    Args:
        mask_HW: uint8 mask of the valid part of the input.
        input_from_original: (3, 3) affine map of continuous coordinates, in which pixel i spans [i, i + 1).
        height: Rows of the original.
        width: Columns of the original.

    Returns:
        (height, width) uint8; 255 outside the input.
    """
    # OpenCV puts integer coordinates at the centres of pixels.
    to_corner = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    matrix = np.linalg.inv(to_corner) @ input_from_original @ to_corner
    moved: npt.NDArray[np.uint8] = cv2.warpAffine(
        np.ascontiguousarray(mask_HW),
        matrix[:2],
        (width, height),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=IGNORE_INDEX,
    )
    return moved

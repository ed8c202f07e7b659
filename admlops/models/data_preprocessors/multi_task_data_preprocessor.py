"""Batch and normalise pictures of several sizes, with the labels of all tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from admlops.errors import ModelError
from admlops.registry import MODELS
from admlops.structures import MultiTaskDataSample
from admlops.task_spec import IGNORE_INDEX

MEAN = 128
"""Grey level that the network sees as 0; padding has it."""


@MODELS.register_module()
class MultiTaskDataPreprocessor(BaseDataPreprocessor):
    """Pads pictures to the largest of the batch and maps pixels to ``(pixel - 128) / 128``, an exact 8-bit grid.

    Channels stay in the order of the data set (BGR). Padding is right and bottom; ``img_shape`` of a sample keeps saying
    which part shows the image, masks are padded with 255.

    Args:
        channels_last: Whether the batch is laid out channel by channel of each pixel, the faster layout on CPU and GPU.
        non_blocking: Whether copies to the device overlap with computation.
    """

    def __init__(self, channels_last: bool = False, non_blocking: bool = False) -> None:
        super().__init__(non_blocking=non_blocking)
        self.channels_last = channels_last

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Make a batch.

        Args:
            data: ``inputs``, B uint8 pictures of (3, H, W) or one tensor (B, 3, H, W); ``data_samples``, B samples or None.
            training: Unused, there is no random part.

        Returns:
            ``inputs`` (B, 3, max H, max W) float32; ``data_samples`` with labels of that size, on the same device.

        Raises:
            ModelError: A picture does not have three channels.
        """
        pictures = [picture.to(self.device, non_blocking=self._non_blocking) for picture in data["inputs"]]
        samples: Sequence[MultiTaskDataSample] | None = data.get("data_samples")
        for index, picture in enumerate(pictures):
            if picture.dim() != 3 or picture.shape[0] != 3:
                raise ModelError(
                    "A picture must have shape (3, H, W)",
                    where=samples[index].get("sample_id") if samples else f"picture {index} of the batch",
                    got=tuple(picture.shape),
                )
        height = max(picture.shape[1] for picture in pictures)
        width = max(picture.shape[2] for picture in pictures)
        batch = torch.stack([_pad(picture, height, width, MEAN) for picture in pictures])
        inputs = (batch.float() - MEAN) / MEAN
        if self.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        if samples is not None:
            for picture, sample in zip(pictures, samples, strict=True):
                self._prepare_labels(sample, (int(picture.shape[1]), int(picture.shape[2])), height, width)
        return {"inputs": inputs, "data_samples": samples}

    def _prepare_labels(self, sample: MultiTaskDataSample, picture_hw: tuple[int, int], height: int, width: int) -> None:
        if "img_shape" not in sample:
            sample.set_metainfo({"img_shape": picture_hw})
        if "gt" not in sample:
            return
        # Only the training labels travel to the device; metrics read gt_original where it is.
        sample.gt = sample.gt.to(self.device, non_blocking=self._non_blocking)
        for _, label in sample.gt.task_items():
            if "sem_seg" in label:
                padded = _pad(label.sem_seg.data, height, width, IGNORE_INDEX)
                label.sem_seg = type(label.sem_seg)(data=padded, metainfo=label.sem_seg.metainfo)


def _pad(map_CHW: Tensor, height: int, width: int, value: int) -> Tensor:
    if map_CHW.shape[1:] == (height, width):
        return map_CHW
    return F.pad(map_CHW, (0, width - map_CHW.shape[2], 0, height - map_CHW.shape[1]), value=value)

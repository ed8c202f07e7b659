"""One image's labels and predictions of every task, with what is labelled."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData


class TaskLabel(BaseDataElement):
    """Ground truth of one task in one sample. Present in a sample means labelled; absent means unknown.

    Attributes:
        instances: Detection only; ``bboxes`` (N, 4) float32 xyxy in pixels, ``labels`` (N,) int64, ``ignore_flags`` (N,) bool.
            ``labels`` from K on are category sets.
        sem_seg: Semantic and lane only; ``data`` (1, H, W) uint8, 255 = ignore; values from K to 254 are category sets.
        class_labelled: (K,) bool, see ``LabelAvailability``.
        class_exhaustive: (K,) bool.
        category_sets: (S, K) bool.
        in_metric: (K,) bool.
    """

    instances: InstanceData
    sem_seg: PixelData
    class_labelled: torch.Tensor
    class_exhaustive: torch.Tensor
    category_sets: torch.Tensor
    in_metric: torch.Tensor


class TaskElements(BaseDataElement):
    """One element a task, by task name."""

    def task_items(self) -> Iterator[tuple[str, BaseDataElement]]:
        """Iterate over the tasks that are present.

        Yields:
            Pairs of task name and element.
        """
        yield from self.items()


class MultiTaskDataSample(BaseDataElement):
    """Labels and predictions of one image.

    Metainfo: ``sample_id``, ``source`` (entry of the release), ``img_path``, ``ori_shape`` (h, w) of the original,
    ``img_shape`` (h, w) of the part of the network's input that shows the image (right and below is padding),
    ``input_from_original`` (3, 3) float64, the affine map from original to input pixels.

    Attributes:
        gt: ``TaskLabel`` by task, in input pixels (training).
        gt_original: ``TaskLabel`` by task, in original pixels (validation, test).
        pred: By task and in original pixels; ``InstanceData`` with ``bboxes`` (N, 4), ``scores`` (N,), ``labels`` (N,), or
            ``PixelData`` with ``data`` (1, H, W) uint8, 255 where the input shows no such pixel.
    """

    gt: TaskElements
    gt_original: TaskElements
    pred: TaskElements

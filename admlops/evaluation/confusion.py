"""Confusion of an index mask with its prediction, honouring what is labelled; shared by semantic and lane metrics.

A pixel counts where its label is a class of the sample's ``in_metric`` and the prediction is one of the K channels. Left out
are labels of 255, of a category set (K and above) and of classes outside ``in_metric``, and predictions of 255 (the network's
input does not show the pixel). A predicted class outside ``in_metric`` misses the pixel's true class but is no false positive
of its own class, about which the source says nothing: it goes into an extra column, K.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from admlops.errors import ModelError
from admlops.evaluation.task_metric import UNDEFINED, to_numpy
from admlops.task_spec import TaskSpec

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
MaskArray = npt.NDArray[np.uint8]


def read_masks(
    task: TaskSpec, label: Mapping[str, Any], prediction: Mapping[str, Any], where: str
) -> tuple[MaskArray, MaskArray, npt.NDArray[np.bool_]]:
    """Take the masks out of a sample.

    Args:
        task: The task.
        label: ``TaskLabel`` as a dict, with ``sem_seg`` and ``in_metric``.
        prediction: ``PixelData`` as a dict.
        where: The sample.

    Returns:
        Label mask (H, W), predicted mask (H, W), ``in_metric`` (K,).

    Raises:
        ModelError: The prediction is not in original pixels.
    """
    gt_HW = to_numpy(label["sem_seg"]["data"]).squeeze(0).astype(np.uint8, copy=False)
    pred_HW = to_numpy(prediction["data"]).squeeze(0).astype(np.uint8, copy=False)
    if gt_HW.shape != pred_HW.shape:
        raise ModelError(
            f"{task.name}: the predicted mask is not in pixels of the original image",
            where=where,
            expected=f"(height, width) = {gt_HW.shape}",
            got=pred_HW.shape,
            remedy="predict() must resize its masks to the sample's ori_shape",
        )
    return gt_HW, pred_HW, to_numpy(label["in_metric"]).astype(bool)


def count_pairs(gt_HW: MaskArray, pred_HW: MaskArray) -> IntArray:
    """Count how often each pair of values meets.

    Args:
        gt_HW: Label mask.
        pred_HW: Predicted mask.

    Returns:
        (256, 256) counts: row = label, column = prediction.
    """
    pairs = np.zeros((256, 256), dtype=np.int64)
    # cv2 counts ten times faster than numpy, but answers in float32, which is exact up to 2 ** 24 pixels.
    rows = max(1, 2**24 // max(1, gt_HW.shape[1]))
    for top in range(0, gt_HW.shape[0], rows):
        band = [np.ascontiguousarray(mask[top : top + rows]) for mask in (gt_HW, pred_HW)]
        pairs += cv2.calcHist(band, [0, 1], None, [256, 256], [0, 256, 0, 256]).astype(np.int64)
    return pairs


def count_confusion(pairs: IntArray, in_metric: npt.NDArray[np.bool_]) -> IntArray:
    """Apply what is labelled to the counts of a sample.

    Args:
        pairs: (256, 256) counts; label and prediction 255 = ignore, labels from K on are category sets.
        in_metric: (K,) classes that the sample's source annotated exhaustively.

    Returns:
        (K, K + 1) counts: row = label, column = prediction, column K = predicted a class outside ``in_metric``.
    """
    num_channels = len(in_metric)
    counted = pairs[:num_channels, :num_channels] * in_metric[:, None]
    return np.hstack([counted * in_metric, (counted * ~in_metric).sum(axis=1, keepdims=True)])


def true_and_false(confusion: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Split a confusion matrix by class.

    Args:
        confusion: (K, K + 1), or a sum of such.

    Returns:
        True positives, false positives and false negatives, (K,) each.
    """
    num_channels = len(confusion)
    hits = np.diagonal(confusion)[:num_channels]
    return hits, confusion.sum(axis=0)[:num_channels] - hits, confusion.sum(axis=1) - hits


def ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> FloatArray:
    """Divide, with nan where there is nothing to divide by.

    Args:
        numerator: Counts.
        denominator: Counts.

    Returns:
        Their ratio.
    """
    top, bottom = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    return np.where(bottom > 0, top / np.maximum(bottom, 1), UNDEFINED)

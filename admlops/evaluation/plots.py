"""Precision-recall curves and confusion matrices as PNG."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from admlops.evaluation.confusion import ratio
from admlops.evaluation.detection_metric import DetectionDetails
from admlops.evaluation.semantic_metric import ConfusionDetails
from admlops.figures import short_count, to_png

DPI = 120
LINE_STYLES = ("-", "--", "-.", ":")
"""Classes differ in style too, as palettes hold colours that are pale on white."""


def draw_precision_recall(details: DetectionDetails) -> bytes:
    """Draw the precision-recall curves of a task's classes at IoU 0.5.

    Args:
        details: The curves.

    Returns:
        A PNG file.
    """
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for index, name in enumerate(details.task.classes):
        precision = details.precision[index]
        style = LINE_STYLES[index % len(LINE_STYLES)]
        color = np.array(details.task.palette[index]) / 255 * 0.8
        counts = f"{details.num_boxes[index]} boxes, {details.num_images[index]} images"
        if np.isnan(precision).all():
            axes.plot([], [], style, color=color, label=f"{name}: undefined ({counts})")
            continue
        # Where F1 is highest is the usual question to such a curve: it names the score threshold to deploy with.
        f1 = 2 * precision * details.recall / np.maximum(precision + details.recall, 1e-9)
        best = int(f1.argmax())
        label = (
            f"{name}: AP50 {precision.mean():.3f}, best F1 {f1[best]:.2f} at score {details.score[index, best]:.2f} ({counts})"
        )
        axes.plot(details.recall, precision, style, color=color, linewidth=2, label=label)
        axes.plot(details.recall[best], precision[best], "o", color=color)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.03), xlabel="recall", ylabel="precision", title=f"{details.task.name}, IoU >= 0.5")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False)
    return to_png(figure, DPI)


def draw_confusion(details: ConfusionDetails) -> bytes:
    """Draw a confusion matrix in percent of each labelled class's pixels.

    Args:
        details: The counts.

    Returns:
        A PNG file.
    """
    confusion, names = details.confusion, list(details.task.channels)
    columns = list(names)
    if confusion[:, -1].any():
        columns.append("(unlabelled)")
    else:
        confusion = confusion[:, :-1]
    share = 100 * ratio(confusion, np.broadcast_to(confusion.sum(axis=1, keepdims=True), confusion.shape))
    side = 2.4 + 0.55 * len(names)
    figure = Figure(figsize=(side + 0.4, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    axes.set_facecolor("0.9")
    for row, column in np.argwhere(~np.isnan(share)):
        value = share[row, column]
        if value >= 0.05:
            text = f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if value > 55 else "black")
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(
        range(len(names)), [f"{name} ({short_count(count)})" for name, count in zip(names, confusion.sum(axis=1), strict=True)]
    )
    axes.set(xlabel="predicted", ylabel="labelled (pixels)", title=f"{details.task.name}, % of the labelled class's pixels")
    figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    return to_png(figure, DPI)

"""Runs an exported file on images of any size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from numpy.typing import NDArray

from admlops.datasets.transforms.read_file import decode_image, read_bytes
from admlops.deploy.backends import open_backend
from admlops.deploy.contract import BranchContract, Contract
from admlops.deploy.geometry import to_input
from admlops.deploy.prediction import Detections, Prediction, SegmentationMask
from admlops.errors import ExportError, RecordError
from admlops.models.detectors.original_frame import to_original
from admlops.task_spec import TaskKind, TaskSpec

Image = NDArray[np.uint8] | str | Path
"""Pixels (H, W, 3) BGR, or a file."""


class Predictor:
    """A network that was exported with its decoding, ready to run. May be used by several threads at once.

    Attributes:
        backend: The runtime with the network.
        contract: What the file says of itself.

    Args:
        path: An exported file; nothing else is needed.
        backend: Name of a runtime; by default the one that the file was written for.
        threads: Threads of one prediction; by default the runtime's choice.

    Raises:
        ExportError: The file is missing or damaged, cannot be run, reads no images, or gives raw outputs.
        MachineError: The runtime is not installed.
    """

    def __init__(self, path: str | Path, backend: str | None = None, threads: int | None = None) -> None:
        self.backend = open_backend(path, backend, **({} if threads is None else {"threads": threads}))
        self.contract = self.backend.contract
        camera = self.contract.camera
        if not self.contract.decoded:
            raise ExportError(
                "the file gives raw outputs",
                where=path,
                expected="boxes, scores, labels and masks",
                got=", ".join(self.contract.outputs),
                remedy="export it with its post-processing",
            )
        # The first run is slow; and a wrong geometry shows now, not on the road.
        self._predict(np.zeros((*camera.original_hw, 3), np.uint8), None)

    @property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """The tasks, in the order of the network."""
        return tuple(branch.spec.task for branch in self.contract.branches)

    @overload
    def __call__(self, image: Image, score_threshold: float | None = None) -> Prediction: ...

    @overload
    def __call__(self, image: list[Image] | tuple[Image, ...], score_threshold: float | None = None) -> list[Prediction]: ...

    def __call__(
        self, image: Image | list[Image] | tuple[Image, ...], score_threshold: float | None = None
    ) -> Prediction | list[Prediction]:
        """Predict.

        Args:
            image: (H, W, 3) uint8 BGR, a file, or several of them.
            score_threshold: Detections below are left out; by default what the file says of each task.

        Returns:
            The prediction; a list of them where several images were given.

        Raises:
            RecordError: A file is missing or no image, or an array is no image.
        """
        if isinstance(image, np.ndarray | str | Path):
            return self._predict(_pixels(image), score_threshold)
        return [self._predict(_pixels(each), score_threshold) for each in image]

    def _predict(self, image_HW3: NDArray[np.uint8], score_threshold: float | None) -> Prediction:
        input_HW3, meta = to_input(image_HW3, self.contract.camera)
        return read_outputs(self.contract, self.backend(input_HW3), meta, score_threshold)


def read_outputs(
    contract: Contract, outputs: Mapping[str, NDArray[Any]], meta: Mapping[str, Any], score_threshold: float | None = None
) -> Prediction:
    """Turn what a graph with its decoding gives into a prediction, as the heads' ``interpret`` turns raw outputs into one.

    Args:
        contract: Of the file.
        outputs: Arrays by name.
        meta: ``ori_shape``, ``img_shape`` and ``input_from_original`` of the image.
        score_threshold: Detections below are left out; by default what the contract says of each task.

    Returns:
        The prediction.
    """
    input_hw = contract.geometry.input_hw
    detections, masks = {}, {}
    for branch in contract.branches:
        task = branch.spec.task
        if task.kind is TaskKind.DETECTION:
            detections[task.name] = _detections(branch, outputs, meta, input_hw, score_threshold)
        else:
            mask = to_original(_segmented(task, outputs), meta, input_hw)
            score = mask.score[0].numpy() if "score" in mask else None
            masks[task.name] = SegmentationMask(mask.data[0].numpy(), task.channels, score)
    height, width = meta["ori_shape"]
    return Prediction(detections, masks, (height, width))


def _segmented(task: TaskSpec, outputs: Mapping[str, NDArray[Any]]) -> PixelData:
    names = {"data": f"{task.name}.mask", "score": f"{task.name}.score"}
    found = {key: torch.from_numpy(outputs[name])[None] for key, name in names.items() if name in outputs}
    return PixelData(**found)


def _detections(
    branch: BranchContract,
    outputs: Mapping[str, NDArray[Any]],
    meta: Mapping[str, Any],
    input_hw: tuple[int, int],
    score_threshold: float | None,
) -> Detections:
    """Choose detections as the head does, and move them to the original."""
    task = branch.spec.task
    boxes, scores, labels = (outputs[f"{task.name}.{name}"] for name in ("boxes", "scores", "labels"))
    threshold = branch.spec.parameters["score_threshold"] if score_threshold is None else score_threshold
    height, width = meta["img_shape"]
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    keep = (scores >= threshold) & (scores > 0) & (middle[:, 0] < width) & (middle[:, 1] < height)
    found = InstanceData(
        bboxes=torch.from_numpy(boxes[keep]),
        scores=torch.from_numpy(scores[keep]),
        labels=torch.from_numpy(labels[keep].astype(np.int64)),
    )
    moved = to_original(found, meta, input_hw)
    names = tuple(task.classes[label] for label in moved.labels.tolist())
    return Detections(moved.bboxes.numpy(), moved.scores.numpy(), moved.labels.numpy(), names)


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Read an image as the network was trained on it: a rotation noted in EXIF is not applied.

    Args:
        path: JPEG, PNG or another format that OpenCV reads.

    Returns:
        (H, W, 3) BGR.

    Raises:
        RecordError: The file is missing, truncated or no image.
    """
    path = Path(path)
    return decode_image(read_bytes(path, "image", None), path, None)


def _pixels(image: Image) -> NDArray[np.uint8]:
    if not isinstance(image, np.ndarray):
        return read_image(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise RecordError(
            "an array is no image",
            expected="uint8 of shape (height, width, 3), BGR",
            got=f"{image.dtype} of shape {image.shape}",
            remedy="scale other pixels to 0..255; turn RGB around with image[..., ::-1], grey with cv2.COLOR_GRAY2BGR",
        )
    return image

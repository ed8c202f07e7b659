"""Runs an exported network on pictures or a video, and writes records and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from admlops.deploy import Prediction, Predictor, read_image
from admlops.engine.prediction_writer import PredictionWriter
from admlops.errors import RecordError
from admlops.structures import MultiTaskDataSample
from admlops.task_spec import TaskSpec
from admlops.visualization import write_picture
from admlops.visualization.draw_labels import prediction_panel
from admlops.visualization.panels import compose

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
DRAWN_SCORE = 0.3
"""Boxes below are not drawn, unless another limit is given: the records keep them, people cannot read hundreds."""


@dataclass(frozen=True)
class InferReport:
    """What became of a source.

    Attributes:
        records: The file with the records.
        num_images: Images that it holds.
        unreadable: What could not be read, each with its reason.
    """

    records: Path
    num_images: int
    unreadable: tuple[str, ...]


@dataclass(frozen=True)
class _Frame:
    """One image of a source; ``pixels`` is an error where it cannot be read."""

    sample_id: str
    path: Path
    pixels: NDArray[np.uint8] | RecordError
    frame: int | None = None


def infer(
    model: str | Path,
    source: str | Path,
    out_dir: str | Path,
    *,
    backend: str | None = None,
    score: float | None = None,
    pictures: bool = True,
) -> InferReport:
    """Predict on all images of a source.

    Args:
        model: An exported file.
        source: An image, a folder of images (with all below it), or a video.
        out_dir: Gets ``predictions.jsonl``, ``masks`` and ``pictures``. A record of a video's frame has the video as its path
            and the number of the frame in its attributes.
        backend: Name of a runtime; by default the file's own.
        score: Detections below are neither written nor drawn; by default the file's own limits, and 0.3 in pictures.
        pictures: Whether pictures are drawn.

    Returns:
        What was read and what was not.

    Raises:
        RecordError: The source does not exist or holds no images.
        ExportError: The file is missing or damaged, gives raw outputs, or reads no images.
        MachineError: The runtime is not installed.
    """
    out_dir = Path(out_dir)
    # First: a source that holds no images is right for a file that reads none, and that error would hide this.
    predictor = Predictor(model, backend)
    frames = _frames(Path(source), out_dir)
    tasks = {task.name: task for task in predictor.tasks}
    num_images, unreadable = 0, []
    with PredictionWriter(out_dir) as writer:
        for frame in frames:
            if isinstance(frame.pixels, RecordError):
                unreadable.append(f"{frame.path}: {frame.pixels.what}")
                continue
            sample = _to_sample(predictor(frame.pixels, score), frame, Path(source).stem)
            writer.write(sample, tasks, None if frame.frame is None else {"frame": frame.frame})
            if pictures:
                drawn = DRAWN_SCORE if score is None else score
                _draw(out_dir / "pictures" / f"{frame.sample_id}.jpg", frame.pixels, sample, tuple(tasks.values()), drawn)
            num_images += 1
    return InferReport(writer.path, num_images, tuple(unreadable))


def _frames(source: Path, out_dir: Path) -> Iterator[_Frame]:
    if source.is_dir():
        found = (path for path in source.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
        # What an earlier run drew is no image of the source.
        files = sorted(path for path in found if not path.resolve().is_relative_to(out_dir.resolve()))
        if not files:
            raise RecordError("a folder holds no images", got=source, expected=", ".join(sorted(PICTURE_SUFFIXES)))
        return (_Frame(str(file.relative_to(source)), file, _read(file)) for file in files)
    if not source.is_file():
        raise RecordError("there is nothing to predict on", expected="an image, a folder or a video", got=source)
    if source.suffix.lower() in PICTURE_SUFFIXES:
        return iter([_Frame(source.name, source, _read(source))])
    return _video_frames(source)


def _read(path: Path) -> NDArray[np.uint8] | RecordError:
    try:
        return read_image(path)
    except RecordError as error:
        return error


def _video_frames(video: Path) -> Iterator[_Frame]:
    capture = cv2.VideoCapture(str(video))
    number = 0
    try:
        while True:
            read, pixels = capture.read()
            if not read:
                break
            yield _Frame(f"{video.stem}_{number:06d}", video, pixels, number)
            number += 1
    finally:
        capture.release()
    if not number:
        yield _Frame(video.name, video, RecordError("neither an image nor a video that OpenCV reads", got=video))


def _to_sample(prediction: Prediction, frame: _Frame, source: str) -> MultiTaskDataSample:
    meta = {"sample_id": frame.sample_id, "source": source, "img_path": str(frame.path), "ori_shape": prediction.image_hw}
    return MultiTaskDataSample(metainfo=meta, pred=prediction.to_elements())


def _draw(
    path: Path, image_bgr: NDArray[np.uint8], sample: MultiTaskDataSample, tasks: tuple[TaskSpec, ...], score: float
) -> None:
    write_picture(path, compose([prediction_panel(image_bgr, sample, tasks, score)], tasks))

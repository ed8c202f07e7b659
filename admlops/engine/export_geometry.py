"""What a deployed network sees of a camera: the config's ``export``, and a test on exactly that."""

from __future__ import annotations

import copy
from dataclasses import asdict

import numpy as np
from mmengine.config import Config

from admlops.datasets.transforms.export_geometry import EXPORT_INPUTS_HW
from admlops.datasets.transforms.geometry import Results
from admlops.deploy.geometry import to_input
from admlops.deploy.input_geometry import Geometry
from admlops.engine.config_check import type_name
from admlops.errors import ConfigError
from admlops.registry import TRANSFORMS


@TRANSFORMS.register_module()
class DeployedInput:
    """Step of a test pipeline that gives the network what ``deploy.Predictor`` gives it, whatever the size of the image.

    Args:
        original_hw: Height and width of the camera's image, px.
        input_hw: Height and width of the network's input, px.
        pyramid_step: Halvings of the image.
        place_yx: As ``ExportGeometry`` has it.
    """

    def __init__(
        self,
        original_hw: tuple[int, int],
        input_hw: tuple[int, int],
        pyramid_step: int = 1,
        place_yx: tuple[float, float] | None = None,
    ) -> None:
        # A config that was read from a file has lists.
        place = None if place_yx is None else (place_yx[0], place_yx[1])
        self.geometry = Geometry((original_hw[0], original_hw[1]), (input_hw[0], input_hw[1]), pyramid_step, place)

    def __call__(self, results: Results) -> Results:
        """Bring an image to the input; labels stay in original pixels.

        Args:
            results: Of a sample, its image as it was read.

        Returns:
            The same dict.
        """
        results["img"], meta = to_input(results["img"], self.geometry)
        results.update(meta)
        return results


def export_geometry(cfg: Config, original_hw: tuple[int, int]) -> Geometry:
    """Read how a camera's image becomes the input of an exported network.

    Args:
        cfg: A config; its ``export`` holds the arguments of ``ExportGeometry``.
        original_hw: Height and width of the camera's image, px.

    Returns:
        The geometry.

    Raises:
        ConfigError: No input is known for this size, or the image does not fit it.
    """
    options = dict(cfg.get("export") or {})
    input_hw = options.pop("input_hw", None) or EXPORT_INPUTS_HW.get(original_hw)
    if input_hw is None:
        known = ", ".join(f"{height}x{width}" for height, width in EXPORT_INPUTS_HW)
        raise ConfigError(
            "no export input is known for this size of image",
            where="--input-shape",
            expected=f"the camera's height x width, one of {known}",
            got="x".join(map(str, original_hw)),
            remedy="set the config's export.input_hw: --cfg-options 'export.input_hw=(height,width)'",
        )
    place = options.pop("place_yx", None)
    geometry = Geometry(original_hw, tuple(input_hw), place_yx=None if place is None else tuple(place), **options)
    # A geometry that its own camera does not fit is refused here, not on the road.
    to_input(np.zeros((*original_hw, 3), np.uint8), geometry)
    return geometry


def use_geometry(cfg: Config, geometry: Geometry) -> None:
    """Let a test see what a deployed network sees, in place of the config's own resizing.

    Args:
        cfg: Changed in place.
        geometry: From the camera's image to the input.

    Raises:
        ConfigError: The test's pipeline has no place for it.
    """
    pipeline = list(cfg.test_dataloader.dataset.get("pipeline") or ())
    names = [type_name(step) for step in pipeline]
    if "LoadImage" not in names or "LoadLabels" not in names or names.index("LoadLabels") < names.index("LoadImage"):
        raise ConfigError(
            "the test cannot be put into the export's geometry",
            where="test_dataloader.dataset.pipeline",
            expected="LoadImage, what resizes, LoadLabels, PackMultiTask",
            got=", ".join(names) or "no pipeline",
        )
    image, labels = names.index("LoadImage"), names.index("LoadLabels")
    load = copy.deepcopy(pipeline[image])
    load.pop("resize", None)
    step = {"type": "DeployedInput", **asdict(geometry)}
    cfg.test_dataloader.dataset.pipeline = [*pipeline[:image], load, step, *pipeline[labels:]]


def parse_hw(text: str) -> tuple[int, int]:
    """Read a size from the command line.

    Args:
        text: Such as ``1080x1920``.

    Returns:
        Height and width, px.

    Raises:
        ConfigError: It is no size.
    """
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise ConfigError("no size of an image", where="--input-shape", expected="height x width, such as 1080x1920", got=text)
    return int(height), int(width)

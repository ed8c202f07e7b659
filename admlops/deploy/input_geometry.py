"""What a network is given: a camera's image and how it becomes the input, or a map of features and where it lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from admlops.datasets.transforms.geometry import PAD_PIXEL
from admlops.deploy.json_fields import ShapeError, read_all, read_fields, read_pair, typed

_IMAGE = MappingProxyType({"name": "image", "dtype": "uint8", "layout": "1HWC", "channels": "BGR"})


@dataclass(frozen=True)
class GraphInput:
    """One input of a graph.

    Attributes:
        name: Its name.
        dtype: Name of its NumPy type.
        shape: Its shape; a name for a size that each call may choose.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Geometry:
    """From the camera's image to the network's input: the arguments of ``datasets.transforms.ExportGeometry``.

    Attributes:
        original_hw: Height and width of the camera's image, px.
        input_hw: Height and width of the network's input, px.
        pyramid_step: Halvings of the image.
        place_yx: Parts of the superfluous rows and columns that are cut above and on the left; None cuts above only.
    """

    original_hw: tuple[int, int]
    input_hw: tuple[int, int]
    pyramid_step: int = 1
    place_yx: tuple[float, float] | None = None

    @property
    def map_hw(self) -> tuple[int, int]:
        """Rows and columns of what the network reads."""
        return self.input_hw

    @property
    def inputs(self) -> tuple[GraphInput, ...]:
        """What the graph is given."""
        return (GraphInput(_IMAGE["name"], _IMAGE["dtype"], (1, *self.input_hw, 3)),)


@dataclass(frozen=True)
class MapGeometry:
    """Of a network that reads no picture, but a map of features, or what its graph makes such a map of.

    Attributes:
        input_hw: Rows and columns on which labels and predictions lie.
        map_hw: Rows and columns of the map; fewer where neighbours are folded into channels.
        inputs: What the graph is given.
        frame: What whoever fills the inputs needs to know (grids, ranges, conventions), by name; JSON values.
    """

    input_hw: tuple[int, int]
    map_hw: tuple[int, int]
    inputs: tuple[GraphInput, ...]
    frame: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


def geometry_json(geometry: Geometry | MapGeometry) -> dict[str, Any]:
    """Describe an input in JSON.

    Args:
        geometry: Of the input.

    Returns:
        ``image`` or ``inputs``, and ``geometry``.
    """
    if isinstance(geometry, Geometry):
        return {"image": dict(_IMAGE), "geometry": {**asdict(geometry), "pad_pixel": PAD_PIXEL}}
    frame = {"input_hw": geometry.input_hw, "map_hw": geometry.map_hw, "frame": dict(geometry.frame)}
    return {"inputs": [asdict(each) for each in geometry.inputs], "geometry": frame}


def read_map_geometry(inputs: Any, value: Any) -> MapGeometry:
    """Read what ``geometry_json`` wrote of a map of features.

    Args:
        inputs: Its ``inputs``.
        value: Its ``geometry``.

    Returns:
        The geometry.

    Raises:
        ShapeError: Something is not as it has to be.
    """
    input_hw, map_hw, frame = read_fields(value, "geometry", ("input_hw", "map_hw", "frame"))
    return MapGeometry(
        read_pair(input_hw, "geometry.input_hw", int),
        read_pair(map_hw, "geometry.map_hw", int),
        read_all(inputs, "inputs", _read_input),
        typed(frame, "geometry.frame", dict),
    )


def _read_input(value: Any, path: str) -> GraphInput:
    name, dtype, shape = read_fields(value, path, ("name", "dtype", "shape"))

    def read_size(size: Any, where: str) -> int | str:
        return size if isinstance(size, str) else typed(size, where, int)

    return GraphInput(
        typed(name, f"{path}.name", str), typed(dtype, f"{path}.dtype", str), read_all(shape, f"{path}.shape", read_size)
    )


def read_geometry(image: Any, value: Any) -> Geometry:
    """Read what ``geometry_json`` wrote of a picture.

    Args:
        image: Its ``image``.
        value: Its ``geometry``.

    Returns:
        The geometry.

    Raises:
        ShapeError: Something is not as it has to be.
    """
    if image != _IMAGE:
        raise ShapeError(f"image: {image!r} instead of {dict(_IMAGE)!r}")
    names = ("original_hw", "input_hw", "pyramid_step", "place_yx", "pad_pixel")
    original, input_, step, place, pad = read_fields(value, "geometry", names)
    if pad != PAD_PIXEL:
        raise ShapeError(f"geometry.pad_pixel: {pad!r} instead of {PAD_PIXEL}")
    return Geometry(
        read_pair(original, "geometry.original_hw", int),
        read_pair(input_, "geometry.input_hw", int),
        typed(step, "geometry.pyramid_step", int),
        None if place is None else read_pair(place, "geometry.place_yx", float),
    )

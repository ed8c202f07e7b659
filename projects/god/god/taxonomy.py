"""What the integers of a source's label files mean.

==================  =====  ==========  =============  =====================================================================
taxonomy            bits   class bits  instance bits  meaning
==================  =====  ==========  =============  =====================================================================
semantic_kitti      32     low 16      high 16        SemanticKITTI; 252-259 are 10-20, 30-32 in motion
nuscenes_lidarseg   8      all 8       none           general classes of nuScenes lidarseg; no road apart from parking
rendered            32     low 16      high 16        values of ``PointClass`` themselves
==================  =====  ==========  =============  =====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.errors import RecordError, nearest
from admlops.point_class import PointClass

GROUND = (
    PointClass.ROAD,
    PointClass.PARKING,
    PointClass.SIDEWALK,
    PointClass.OTHER_GROUND,
    PointClass.TERRAIN,
    PointClass.DRIVEABLE,
)
OBSTACLES = (PointClass.MOVABLE, PointClass.STATIC, PointClass.VEGETATION)

_NO_MEANING = 255


@dataclass(frozen=True)
class Taxonomy:
    """How a file of one integer a point is read.

    Attributes:
        name: As records name it.
        dtype: Of an integer, little-endian.
        class_bits: Low bits that hold the class; those above hold the instance, 0 = none.
        point_classes: Class of each integer that has a meaning.
    """

    name: str
    dtype: str
    class_bits: int
    point_classes: Mapping[int, PointClass]

    @property
    def has_instances(self) -> bool:
        """Whether an integer holds the number of an instance, too."""
        return self.class_bits < 8 * np.dtype(self.dtype).itemsize

    @cached_property
    def _table(self) -> npt.NDArray[np.uint8]:
        table = np.full(1 << self.class_bits, _NO_MEANING, dtype=np.uint8)
        table[list(self.point_classes)] = list(self.point_classes.values())
        return table

    def read(
        self, values: npt.NDArray[np.unsignedinteger[Any]], path: object, where: object
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Split integers into classes and instances.

        Args:
            values: (N,) of ``dtype``.
            path: File that they come from, named in the error.
            where: Record that names it.

        Returns:
            (N,) ``PointClass`` and (N,) number of the instance, 0 = none; equal numbers of two classes are two instances.

        Raises:
            RecordError: An integer has no meaning.
        """
        raw_classes = values & values.dtype.type((1 << self.class_bits) - 1)
        classes = self._table[raw_classes]
        if (classes == _NO_MEANING).any():
            unknown, counts = np.unique(raw_classes[classes == _NO_MEANING], return_counts=True)
            raise RecordError(
                f"label {int(unknown[0])} has no meaning in taxonomy {self.name!r}",
                where=where,
                expected=f"one of {', '.join(map(str, sorted(self.point_classes)))}",
                got=f"{int(unknown[0])} at {int(counts[0])} points of {path}",
                remedy="name the taxonomy of the file, or map the label to one of its integers",
            )
        has_instance = values >> self.class_bits > 0 if self.has_instances else np.zeros(1, bool)
        return classes, np.where(has_instance, values, 0).astype(np.int64)


_P = PointClass

_SEMANTIC_KITTI = {
    **dict.fromkeys((0, 1, 52), _P.UNKNOWN),  # unlabeled, outlier, other-structure
    # car, bicycle, bus, motorcycle, on-rails, truck, other-vehicle, person, bicyclist, motorcyclist
    **dict.fromkeys((10, 11, 13, 15, 16, 18, 20, 30, 31, 32), _P.MOVABLE),
    **dict.fromkeys((40, 60), _P.ROAD),  # lane markings are painted on roads
    44: _P.PARKING,
    48: _P.SIDEWALK,
    49: _P.OTHER_GROUND,
    72: _P.TERRAIN,
    **dict.fromkeys((50, 51, 80, 81), _P.STATIC),  # building, fence, pole, traffic sign
    **dict.fromkeys((70, 71), _P.VEGETATION),  # and trunks
    99: _P.MOVABLE,  # other objects: nobody says that they stay, so they tell nothing of what is below them
    **dict.fromkeys(range(252, 260), _P.MOVABLE),  # in motion
}

_NUSCENES_LIDARSEG = {
    **dict.fromkeys((0, 31), _P.UNKNOWN),  # noise, the ego vehicle
    **dict.fromkeys(range(1, 13), _P.MOVABLE),  # animal, people, barrier, debris, pushable things, traffic cone
    13: _P.STATIC,  # bicycle rack
    **dict.fromkeys(range(14, 24), _P.MOVABLE),  # vehicles
    24: _P.DRIVEABLE,
    25: _P.OTHER_GROUND,
    26: _P.SIDEWALK,
    27: _P.TERRAIN,
    **dict.fromkeys((28, 29), _P.STATIC),  # made by people, other
    30: _P.VEGETATION,
}

TAXONOMIES: dict[str, Taxonomy] = {
    taxonomy.name: taxonomy
    for taxonomy in (
        Taxonomy("semantic_kitti", "<u4", 16, _SEMANTIC_KITTI),
        Taxonomy("nuscenes_lidarseg", "<u1", 8, _NUSCENES_LIDARSEG),
        Taxonomy("rendered", "<u4", 16, {int(point_class): point_class for point_class in PointClass}),
    )
}
"""The taxonomies that records may name."""


def taxonomy_named(name: str, where: object) -> Taxonomy:
    """Find the taxonomy that a record names.

    Args:
        name: Of the taxonomy.
        where: Record, for the error.

    Returns:
        It.

    Raises:
        RecordError: There is none of the name.
    """
    if name not in TAXONOMIES:
        expected = f"one of {', '.join(TAXONOMIES)}"
        remedy = nearest(name, TAXONOMIES)
        raise RecordError(f"unknown taxonomy {name!r}", where=where, expected=expected, got=repr(name), remedy=remedy)
    return TAXONOMIES[name]

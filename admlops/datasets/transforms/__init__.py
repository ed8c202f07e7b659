"""Steps of a pipeline: each takes the ``results`` dict of a sample and returns it, image and labels changed together.

==========================  =====================================================================================
key of ``results``          what it is
==========================  =====================================================================================
``img``                     (H, W, 3) uint8 BGR
``img_path``                of the file
``ori_shape``               (h, w) of the original
``img_shape``               (h, w) of the part of ``img`` that shows the image; right and below is padding
``input_from_original``     3x3 float64, original px -> px of ``img``; px count from the left and top edge of the image
``labels``                  task name -> ``TaskAnnotation`` in px of ``img``
``original_labels``         task name -> ``TaskAnnotation`` in px of the original; no transform touches it
``rng``                     the only source of random numbers, a function of (seed, epoch, position)
==========================  =====================================================================================
"""

from admlops.datasets.transforms.export_geometry import ExportGeometry
from admlops.datasets.transforms.load_image import LoadImage
from admlops.datasets.transforms.load_labels import LoadLabels
from admlops.datasets.transforms.pack_multi_task import PackMultiTask
from admlops.datasets.transforms.pad_to import PadTo
from admlops.datasets.transforms.photometric import Photometric
from admlops.datasets.transforms.random_crop import RandomCrop
from admlops.datasets.transforms.random_flip import RandomFlip
from admlops.datasets.transforms.resize_min_max import ResizeMinMax

__all__ = [
    "ExportGeometry",
    "LoadImage",
    "LoadLabels",
    "PackMultiTask",
    "PadTo",
    "Photometric",
    "RandomCrop",
    "RandomFlip",
    "ResizeMinMax",
]

"""From a network as plain data to a file that a runtime runs, and back to typed results.

May import everything below ``engine``. A runtime is imported inside its own backend only, when it is used: the package works
without any of them.
"""

from admlops.deploy.contract import Contract, make_contract
from admlops.deploy.input_geometry import Geometry
from admlops.deploy.prediction import Detections, Prediction, SegmentationMask
from admlops.deploy.predictor import Predictor, read_image

__all__ = [
    "Contract",
    "Detections",
    "Geometry",
    "Prediction",
    "Predictor",
    "SegmentationMask",
    "make_contract",
    "read_image",
]

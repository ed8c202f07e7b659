"""Steps of a lidar pipeline: each takes the ``results`` of a sample and returns it, points and labels changed together.

==========================  =====================================================================================
key of ``results``          what it is
==========================  =====================================================================================
``cloud``                   ``PointCloud``: points, origin, per-point labels, polygons
``lidar_path``              of the file
``point_counts``            how many points were ``read``, and dropped as ``not_finite``, ``ego`` or ``thinned``
``evidence``                task name -> ``BevEvidence``: how its cells are labelled
``bev_from_points``         3x3 float64, x and y as recorded -> x and y of ``cloud``, m
``labels``                  task name -> ``BevAnnotation`` of the augmented sweep (training)
``original_labels``         task name -> ``BevAnnotation`` of the sweep as recorded (evaluation)
``rng``                     the only source of random numbers
==========================  =====================================================================================

Order: LoadPoints, LoadBevEvidence, SanitizePoints, random ones, RasterizeBevLabels, PackBevInputs.
"""

from god.transforms.load_bev_evidence import LoadBevEvidence
from god.transforms.load_points import LoadPoints
from god.transforms.pack_bev_inputs import PackBevInputs
from god.transforms.random_bev_affine import RandomBevAffine
from god.transforms.random_intensity import RandomIntensity
from god.transforms.random_point_drop import RandomPointDrop
from god.transforms.rasterize_bev_labels import RasterizeBevLabels
from god.transforms.sanitize_points import SanitizePoints

__all__ = [
    "LoadBevEvidence",
    "LoadPoints",
    "PackBevInputs",
    "RandomBevAffine",
    "RandomIntensity",
    "RandomPointDrop",
    "RasterizeBevLabels",
    "SanitizePoints",
]

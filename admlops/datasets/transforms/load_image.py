"""Read the image of a record."""

from __future__ import annotations

import numpy as np

from admlops.datasets.transforms.geometry import Results
from admlops.datasets.transforms.read_file import check_size, decode_image, read_bytes, resolve_path
from admlops.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImage:
    """Decode to (H, W, 3) uint8 BGR, as stored: a rotation noted in EXIF is not applied."""

    def __call__(self, results: Results) -> Results:
        """Set ``img``, ``img_path``, ``ori_shape``, ``img_shape`` and ``input_from_original``.

        Args:
            results: Of a sample.

        Returns:
            The same dict.

        Raises:
            RecordError: The file is missing, truncated, no image, or not of the recorded size.
        """
        where = results["record_where"]
        path = resolve_path(results["base_dir"], results["image"]["path"], where)
        image = decode_image(read_bytes(path, "image", where), path, where)
        recorded_hw = (results["image"]["height"], results["image"]["width"])
        check_size(image, recorded_hw, "image", path, where)
        results["img"] = image
        results["img_path"] = str(path)
        results["ori_shape"] = results["img_shape"] = recorded_hw
        results["input_from_original"] = np.eye(3)
        return results

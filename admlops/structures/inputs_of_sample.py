"""One sample's share of a batch's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def inputs_of_sample(data_batch: object, index: int) -> Any:
    """Take one sample's inputs out of a batch as the data loader gives it, before the preprocessor.

    Args:
        data_batch: With ``inputs``: images by sample, or several lists by name (``points``, ``cell``).
        index: Of the sample.

    Returns:
        The sample's image, or its inputs by name; ``None`` where the batch holds no inputs.
    """
    inputs = data_batch.get("inputs") if isinstance(data_batch, Mapping) else None
    if inputs is None:
        return None
    return {name: values[index] for name, values in inputs.items()} if isinstance(inputs, Mapping) else inputs[index]

"""The lidar network: points to canvas to trunk to one branch a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from admlops.errors import ModelError
from admlops.models.detectors import MultiTaskDetector
from god.registry import MODELS


@MODELS.register_module()
class GodNet(MultiTaskDetector):
    """``MultiTaskDetector`` behind a pillar encoder.

    Called with a canvas in place of points it leaves the encoder out: that is what integers replace, and what chips that
    cannot scatter run.

    Attributes:
        encoder: The encoder, shared by all branches; ``frozen`` may name it.

    Args:
        encoder: Config of a ``MinMaxPillarEncoder``.
        frozen: Parts that do not learn, ``"encoder"`` among them.
        **network: As ``MultiTaskDetector`` takes it; ``data_preprocessor`` is a ``BevDataPreprocessor``.

    Raises:
        ModelError: The encoder's grid is not that of the ``data_preprocessor``, or its fold not that of a head.
    """

    float_parts = ("encoder",)

    def __init__(self, encoder: Mapping[str, Any], frozen: Sequence[str] = (), **network: Any) -> None:
        super().__init__(**network)
        self.encoder = MODELS.build(encoder)
        # Batches bring their grid along: only an export would show the other one, and heights above ground would be wrong.
        grid = getattr(self.data_preprocessor, "grid", self.encoder.grid)
        if grid != self.encoder.grid:
            raise ModelError(
                "the encoder has another grid than the data preprocessor",
                where="model.encoder.grid",
                expected=grid,
                got=self.encoder.grid,
                remedy="give both the same",
            )
        for name, branch in self.branches.items():
            # With a larger one a head would answer for a part of the grid, enlarged, and nothing would fail.
            if (fold := getattr(branch.head, "fold", self.encoder.fold)) != self.encoder.fold:
                raise ModelError(
                    "a head has another fold than the encoder",
                    where=f"model.branches.{name}.head.fold",
                    expected=self.encoder.fold,
                    got=fold,
                    remedy="give both the same",
                )
        self.freeze(frozen)

    def quantized_input(self, inputs: Mapping[str, Any] | Tensor) -> Tensor:
        """Encode the points.

        Args:
            inputs: Arguments of the encoder; or a canvas, which passes.

        Returns:
            Canvas (B, C * fold * fold, rows / fold, cols / fold).
        """
        canvas: Tensor = inputs if isinstance(inputs, Tensor) else self.encoder(**inputs)
        return canvas

    def input_hw(self, inputs: Tensor) -> tuple[int, int]:
        """Tell the size of the grid.

        Args:
            inputs: Canvas.

        Returns:
            Rows and columns.
        """
        height, width = super().input_hw(inputs)
        return height * self.encoder.fold, width * self.encoder.fold

    def empty_input(self, input_hw: tuple[int, int]) -> Tensor:
        """Make the canvas of a sweep without points.

        Args:
            input_hw: Rows and columns of the grid.

        Returns:
            Canvas, zeros, on the network's device.
        """
        height, width = (side // self.encoder.fold for side in input_hw)
        return torch.zeros(1, self.encoder.out_channels, height, width, device=next(self.parameters()).device)

"""Concatenation of channels as a module."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Concat(nn.Module):
    """Concatenation along the channel axis; when quantized, its operands move to one grid."""

    def forward(self, *feats_BCHW: Tensor) -> Tensor:
        """Concatenate feature maps of the same batch, height and width.

        Args:
            *feats_BCHW: One or more feature maps ``(B, C_i, H, W)``.

        Returns:
            Feature map ``(B, sum(C_i), H, W)``.
        """
        return torch.cat(feats_BCHW, dim=1)

"""The place at which the picture enters a network."""

from __future__ import annotations

from torch import Tensor, nn


class NetworkInput(nn.Module):
    """Identity that marks where the input quantizer goes.

    The picture arrives as ``(pixel - 128) / 128``: a multiple of 1/128 in [-1, 1), hence exact in 8 bits.
    """

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Pass the picture on.

        Args:
            image_BCHW: Normalised picture ``(B, C, H, W)``.

        Returns:
            The same tensor.
        """
        return image_BCHW

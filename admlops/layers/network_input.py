"""The place at which a picture, or a map that something else computed, enters a network."""

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


class FeatureInput(nn.Module):
    """Identity that marks where a map enters that was computed in floats, such as the canvas of a pillar encoder.

    Its values are non-negative and of no known range: the input quantizer learns it as it learns that of a layer.

    Attributes:
        channels: Channels of the map.

    Args:
        channels: Channels of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, feat_BCHW: Tensor) -> Tensor:
        """Pass the map on.

        Args:
            feat_BCHW: Map ``(B, channels, H, W)``.

        Returns:
            The same tensor.
        """
        return feat_BCHW

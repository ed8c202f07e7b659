"""Maximum over a window as a module."""

from __future__ import annotations

from torch import Tensor, nn

from admlops.errors import ModelError


class MaxPool(nn.Module):
    """Maximum over a square window with "same" padding: the output is ``ceil(size / stride)``.

    Padding counts as minus infinity, never as 0. Scale-transparent: integers keep their scale.

    Args:
        kernel_size: Side of the window, odd.
        stride: Stride on both axes.

    Raises:
        ModelError: The window is even.
    """

    def __init__(self, kernel_size: int = 3, stride: int = 1) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ModelError("MaxPool needs an odd window, an even one shifts the map by half a pixel", got=kernel_size)
        self.pool = nn.MaxPool2d(kernel_size, stride, padding=kernel_size // 2)

    def forward(self, feat_BCHW: Tensor) -> Tensor:
        """Pool.

        Args:
            feat_BCHW: Feature map ``(B, C, H, W)``.

        Returns:
            Feature map ``(B, C, ceil(H / stride), ceil(W / stride))``.
        """
        pooled: Tensor = self.pool(feat_BCHW)
        return pooled

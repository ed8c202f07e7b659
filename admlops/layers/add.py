"""Element-wise sum as a module."""

from __future__ import annotations

from torch import Tensor, nn

from admlops.errors import ModelError


class Add(nn.Module):
    """Sum of two equally shaped feature maps, with an optional ReLU behind it.

    Args:
        act: Whether a ReLU follows the sum.
    """

    def __init__(self, act: bool = False) -> None:
        super().__init__()
        self.act = nn.ReLU(inplace=True) if act else None

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Add ``b`` to ``a``.

        Args:
            a: Feature map of any shape.
            b: Feature map of the same shape.

        Returns:
            ``a + b``, rectified if so built; a new tensor.

        Raises:
            ModelError: The shapes differ (broadcasting is never meant here).
        """
        if a.shape != b.shape:
            raise ModelError(
                "Add got feature maps of different shapes",
                expected=tuple(a.shape),
                got=tuple(b.shape),
                remedy="bring the coarser map to the finer one's size with UpsampleTo, and both to the same channels",
            )
        total = a + b
        return total if self.act is None else self.act(total)

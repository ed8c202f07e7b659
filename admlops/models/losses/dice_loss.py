"""Soft Dice loss, Milletari et al., arXiv 1606.04797: thin structures weigh as much as wide ones."""

from __future__ import annotations

from torch import Tensor


def dice_loss(probs_BKHW: Tensor, one_hot_BKHW: Tensor, known_BHW: Tensor, counted_BK: Tensor) -> Tensor:
    """Sum ``1 - 2 |P T| / (|P| + |T|)`` over pairs of sample and class.

    A sum over samples, unlike the Dice of a whole batch, is the same for any split of the batch over processes.

    Args:
        probs_BKHW: Probabilities.
        one_hot_BKHW: Targets, 0 or 1.
        known_BHW: bool, the pixels that count.
        counted_BK: bool, the pairs that count.

    Returns:
        Scalar sum over the counted pairs.
    """
    probs = probs_BKHW * known_BHW[:, None]
    targets = one_hot_BKHW * known_BHW[:, None]
    both = (probs * targets).sum(dim=(2, 3))
    total = probs.sum(dim=(2, 3)) + targets.sum(dim=(2, 3))
    return ((1 - 2 * both / total.clamp(min=1e-6)) * counted_BK).sum()

"""Focal loss of centre heat maps, with what nobody labelled left out.

Zhou et al., "Objects as Points", arXiv 1904.07850, equation 1, with a weight for the background of each cell and class.
Shape letters: B batch, K classes, H and W rows and columns of the heat map, S cells of category sets.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def center_heatmap_loss(
    logits_BKHW: Tensor, heat_BKHW: Tensor, background_BKHW: Tensor, alpha: float = 2.0, beta: float = 4.0
) -> Tensor:
    """Sum the penalty-reduced focal loss.

    Args:
        logits_BKHW: Raw class scores.
        heat_BKHW: Target in [0, 1]; exactly 1 at a centre, a Gaussian around it.
        background_BKHW: Weight of cells that are no centre: 0 where background is not known.
        alpha: Focal exponent of the predicted probability.
        beta: Exponent that spares the neighbours of a centre.

    Returns:
        Scalar sum.
    """
    log_prob = F.logsigmoid(logits_BKHW)
    log_not = log_prob - logits_BKHW
    prob = log_prob.exp()
    is_center = heat_BKHW == 1
    positive = -log_prob * (1 - prob) ** alpha
    negative = -log_not * prob**alpha * (1 - heat_BKHW) ** beta * background_BKHW
    return torch.where(is_center, positive, negative).sum()


def set_cell_loss(logits_SK: Tensor, members_SK: Tensor) -> Tensor:
    """Sum ``-log(1 - prod(1 - p_c))`` over cells whose object is one of several classes, nobody knows which.

    Args:
        logits_SK: Raw class scores at the centres of such objects.
        members_SK: bool, the classes that the object may be.

    Returns:
        Scalar sum.
    """
    not_any = -(F.softplus(logits_SK) * members_SK).sum(dim=1)
    # Only against log(0): a larger bound would cut the gradient where the network is sure of background.
    return -torch.log(-torch.expm1(not_any.clamp(max=-1e-30))).sum()

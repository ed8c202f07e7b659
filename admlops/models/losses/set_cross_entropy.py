"""Cross entropy where a pixel may be one of several classes and a sample may lack classes.

Shape letters: N pixels, K channels, B batch, H and W rows and columns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

EXCLUDED_LOGIT = -1e4
"""Added to a logit that must not win: its probability underflows to exactly 0, and so does its gradient (fits float16)."""


def masked_logits(logits_BKHW: Tensor, allowed_BK: Tensor) -> Tensor:
    """Take channels out of a softmax or an argmax.

    Args:
        logits_BKHW: Raw scores.
        allowed_BK: bool, False for channels to take out; B may be 1.

    Returns:
        Scores of the same shape; excluded ones are ``EXCLUDED_LOGIT`` and have no gradient.
    """
    return logits_BKHW.masked_fill(~allowed_BK[:, :, None, None], EXCLUDED_LOGIT)


def set_cross_entropy(logits_BKHW: Tensor, targets_BHW: Tensor, sets_BVK: Tensor) -> Tensor:
    """Compute ``-log(sum of the probabilities of the classes that a pixel may be)``, pixel by pixel.

    Args:
        logits_BKHW: Raw scores, already without the channels that a sample does not label.
        targets_BHW: int64, row of ``sets_BVK`` a pixel.
        sets_BVK: bool, row v of sample b holds the channels that value v may be; a row without any means no loss.

    Returns:
        (B, H, W) loss, 0 where the pixel's row is empty.
    """
    sizes_BV = sets_BVK.sum(dim=2)
    loss_BHW = torch.zeros_like(logits_BKHW[:, 0])
    # Where every row names at most one class this is the ordinary cross entropy, several times as fast.
    several_B = (sizes_BV > 1).any(dim=1)
    single_channel_BV = torch.where(sizes_BV == 1, sets_BVK.int().argmax(dim=2), -100)
    plain = (~several_B).nonzero().flatten()
    if len(plain) == len(several_B):
        return F.cross_entropy(logits_BKHW, _look_up(single_channel_BV, targets_BHW), ignore_index=-100, reduction="none")
    if len(plain):
        channels = _look_up(single_channel_BV[plain], targets_BHW[plain])
        loss_BHW = loss_BHW.index_copy(
            0, plain, F.cross_entropy(logits_BKHW[plain], channels, ignore_index=-100, reduction="none")
        )
    mixed = several_B.nonzero().flatten()
    logits = logits_BKHW[mixed]
    rows = sets_BVK[mixed].float()
    members = torch.stack([row_VK[target_HW] for row_VK, target_HW in zip(rows, targets_BHW[mixed], strict=True)])
    members_BKHW = members.permute(0, 3, 1, 2).bool()
    known_BHW = members_BKHW.any(dim=1)
    inside = logits.masked_fill(~members_BKHW, EXCLUDED_LOGIT)
    loss = torch.logsumexp(logits, dim=1) - torch.logsumexp(inside, dim=1)
    return loss_BHW.index_copy(0, mixed, torch.where(known_BHW, loss, torch.zeros_like(loss)))


def _look_up(table_BV: Tensor, targets_BHW: Tensor) -> Tensor:
    return table_BV.gather(1, targets_BHW.flatten(1)).view_as(targets_BHW)

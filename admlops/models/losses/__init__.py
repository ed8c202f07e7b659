"""Losses as functions of raw outputs and targets; each returns a sum, the caller divides by a count over all ranks."""

from admlops.models.losses.center_heatmap_loss import center_heatmap_loss, set_cell_loss
from admlops.models.losses.dice_loss import dice_loss
from admlops.models.losses.giou_loss import giou_loss
from admlops.models.losses.set_cross_entropy import masked_logits, set_cross_entropy

__all__ = ["center_heatmap_loss", "dice_loss", "giou_loss", "masked_logits", "set_cell_loss", "set_cross_entropy"]

"""Branches weighed by their homoscedastic uncertainty.

Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics", CVPR 2018,
arXiv 1705.07115. With s the logarithm of a branch's variance, L its loss and w its ``loss_weight``, what is minimised is
``w * (exp(-s) * L + s / 2)``: at its minimum over s every branch's weighted loss is ``w / 2``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from admlops.models.loss_balance.loss_balance import LossBalance, Losses
from admlops.registry import MODELS


class LogVariance(nn.Module):
    """What a branch's uncertainty is.

    Attributes:
        log_variance: () s; 0 is the fixed weight. Weight decay would pull it there: see ``custom_keys`` of the schedules.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.zeros(()))


@MODELS.register_module()
class UncertaintyBalance(LossBalance):
    """Learns one log-variance a branch; one that no rank labels is not moved, and its regulariser not counted.

    Args:
        weights: ``loss_weight`` by branch; given by the detector.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__(weights, {name: LogVariance() for name in weights})

    def weigh(self, name: str, losses: Mapping[str, Tensor]) -> Losses:
        """Weigh the losses of a branch by its uncertainty.

        Args:
            name: The branch.
            losses: Losses of its head by name.

        Returns:
            The losses at fixed weights with the gradients of uncertain ones; ``uncertainty_loss``, the regulariser, whose name
            keeps it out of what logs show as the branch's loss; ``log_variance``.
        """
        log_variance: Tensor = self[name].log_variance
        weighed: Losses = {}
        for key, value in super().weigh(name, losses).items():
            balanced = torch.exp(-log_variance) * value
            # The value of the one and the gradient of the other.
            weighed[key] = value.detach() + (balanced - balanced.detach())
        weighed["uncertainty_loss"] = self.weights[name] * log_variance / 2
        weighed["log_variance"] = log_variance.detach()
        return weighed

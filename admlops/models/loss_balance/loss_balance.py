"""What every way of balancing branches can do: act on what a branch reads, and on the losses that it returns."""

from __future__ import annotations

from collections.abc import Mapping

from mmengine.model import ModuleDict
from torch import Tensor, nn

from admlops.registry import MODELS

Feats = tuple[Tensor, ...]
Losses = dict[str, Tensor]


class LossBalance(ModuleDict):  # type: ignore[misc]
    """Balances the branches of a network; its modules by branch are what it has learned about them, kept in checkpoints.

    A branch that is frozen freezes its module too: no gradients, and eval mode.

    Attributes:
        weights: ``loss_weight`` by branch.

    Args:
        weights: ``loss_weight`` by branch.
        states: Module by branch.
    """

    def __init__(self, weights: Mapping[str, float], states: Mapping[str, nn.Module]) -> None:
        super().__init__(dict(states))
        self.weights = dict(weights)

    def share(self, feats: Feats, labelled: Mapping[str, Tensor]) -> dict[str, Feats]:
        """Hand the features of the neck to the branches.

        Args:
            feats: All levels, (B, C, H, W) each.
            labelled: (B,) bool by branch that some rank labels, the samples of this rank's batch that it learns from. All ranks
                name the same branches.

        Returns:
            All levels by branch.
        """
        return dict.fromkeys(labelled, feats)

    def weigh(self, name: str, losses: Mapping[str, Tensor]) -> Losses:
        """Weigh the losses of a branch.

        Args:
            name: The branch.
            losses: Losses of its head by name.

        Returns:
            Losses by the same names, their values those of fixed weights whatever their gradients are, so that logs compare;
            and what else there is to log or to minimise.
        """
        return {key: value * self.weights[name] for key, value in losses.items()}


@MODELS.register_module()
class FixedBalance(LossBalance):
    """Every branch pulls as its ``loss_weight`` says.

    Args:
        weights: ``loss_weight`` by branch; given by the detector.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__(weights, {})

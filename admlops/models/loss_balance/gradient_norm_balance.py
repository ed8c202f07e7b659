"""Branches that pull equally hard on the features that they share.

After GradNorm (Chen et al., ICML 2018, arXiv 1711.02257) with alpha = 0. Gradients are taken at the shared representation as in
MGDA-UB (Sener and Koltun, NeurIPS 2018, arXiv 1810.04650), and rescaled there: one backward pass does, and heads learn by
their own gradients.

The norm of a branch is that of its unweighted loss of the global batch: the L2 norm of the gradient at the neck's output over
all levels, channels and cells of a sample, summed over the samples that the branch learns from. That sum, unlike the root of
summed squares, does not depend on how many samples the batch labels, since losses are means over what is labelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine import dist
from torch import Tensor, nn

from admlops.errors import ConfigError
from admlops.models.loss_balance.loss_balance import Feats, LossBalance, Losses
from admlops.registry import MODELS


class GradientNorm(nn.Module):
    """How hard a branch pulls.

    Attributes:
        norm: () running norm; 0 where none was measured.
        num_updates: () int64, batches measured.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm: Tensor
        self.num_updates: Tensor
        self.register_buffer("norm", torch.zeros(()))
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.int64))

    def update(self, norm: Tensor, momentum: float) -> None:
        """Average a measurement in: plainly at first, exponentially later.

        Args:
            norm: (), of one batch. What is not finite is not counted.
            momentum: Of the running norm.
        """
        usable = torch.isfinite(norm)
        self.num_updates += usable
        share = (1 / self.num_updates.clamp(min=1)).clamp(min=1 - momentum)
        self.norm.copy_(torch.where(usable, torch.lerp(self.norm, norm, share), self.norm))


@MODELS.register_module()
class GradientNormBalance(LossBalance):
    """Rescales what each branch sends back into the neck: running norms become ``loss_weight`` times their mean.

    The first batch of a branch, one that pulls nothing, and one that was frozen before it was ever measured pass unscaled. The
    norms that scale a batch are those of the batches before, since none is known until all branches have run backwards.

    Args:
        weights: ``loss_weight`` by branch; given by the detector.
        momentum: Of the running norms, from 0 (the last batch) to below 1.

    Raises:
        ConfigError: The momentum is outside of that.
    """

    def __init__(self, weights: Mapping[str, float], momentum: float = 0.99) -> None:
        super().__init__(weights, {name: GradientNorm() for name in weights})
        if not 0 <= momentum < 1:
            raise ConfigError("momentum is unusable", where="model.loss_balance", expected="0 <= momentum < 1", got=momentum)
        self.momentum = momentum

    def scales(self) -> dict[str, Tensor]:
        """Compute the factors of the next batch.

        Returns:
            () by branch.
        """
        norms = torch.stack([state.norm for state in self.values()])
        known = norms > 0
        mean = norms.sum() / known.sum().clamp(min=1)
        return dict(zip(self, torch.where(known, mean / norms, torch.ones_like(norms)).unbind(), strict=True))

    def share(self, feats: Feats, labelled: Mapping[str, Tensor]) -> dict[str, Feats]:
        """Hand the features of the neck to the branches, and measure and rescale what comes back.

        Args:
            feats: All levels, (B, C, H, W) each.
            labelled: (B,) bool by branch, the samples that it learns from.

        Returns:
            All levels by branch, values unchanged.
        """
        if not any(feat.requires_grad for feat in feats):
            return super().share(feats, labelled)
        scales = self.scales()
        norms = {name: torch.zeros((), device=feats[0].device) for name in labelled}
        joined = _Junction.apply(self, norms, *feats)  # type: ignore[no-untyped-call]
        return {
            name: _Port.apply(scales[name], mask, norms, name, *joined)  # type: ignore[no-untyped-call]
            for name, mask in labelled.items()
        }

    def weigh(self, name: str, losses: Mapping[str, Tensor]) -> Losses:
        """Weigh the losses of a branch as its head learns by them.

        Args:
            name: The branch.
            losses: Losses of its head by name.

        Returns:
            The losses at fixed weights; ``gradient_norm``, the running one.
        """
        return {**super().weigh(name, losses), "gradient_norm": self[name].norm.clone()}

    def take_in(self, norms: Mapping[str, Tensor]) -> None:
        """Take in what a backward pass measured; all ranks do at once.

        Args:
            norms: () by branch, this rank's norms of weighted losses.
        """
        measured = torch.stack(list(norms.values()))
        if dist.get_world_size() > 1:
            # As DDP does with gradients: losses are divided by what all ranks label, times the number of ranks.
            dist.all_reduce(measured, op="mean")
        for name, norm in zip(norms, measured, strict=True):
            # What is frozen stays as it is; what has no weight pulls by no measurable norm (0 / 0).
            if self[name].training:
                self[name].update(norm / self.weights[name] if self.weights[name] else norm * torch.nan, self.momentum)


class _Port(torch.autograd.Function):
    """Identity through which one branch reads; backwards it measures, then scales."""

    @staticmethod
    def forward(
        ctx: Any, scale: Tensor, labelled_B: Tensor, norms: dict[str, Tensor], name: str, *feats: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.scale, ctx.labelled_B, ctx.norms, ctx.name = scale, labelled_B, norms, name
        return tuple(feat.view_as(feat) for feat in feats)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        squares_LB = torch.stack([grad.float().square().flatten(1).sum(dim=1) for grad in grads if grad is not None])
        # Through BN of a head a little also reaches samples without labels.
        ctx.norms[ctx.name] = (squares_LB.sum(dim=0).sqrt() * ctx.labelled_B).sum()
        scaled = (None if grad is None else (grad * ctx.scale).to(grad.dtype) for grad in grads)
        return None, None, None, None, *scaled


class _Junction(torch.autograd.Function):
    """Identity before all ports, whose backward therefore runs once, after theirs: at the same place on all ranks."""

    @staticmethod
    def forward(ctx: Any, balance: GradientNormBalance, norms: dict[str, Tensor], *feats: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.balance, ctx.norms = balance, norms
        return tuple(feat.view_as(feat) for feat in feats)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        ctx.balance.take_in(ctx.norms)
        return None, None, *grads

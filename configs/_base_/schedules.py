"""AdamW with one warm-up and one cosine, over iterations."""

from mmengine.optim import CosineAnnealingLR, LinearLR, OptimWrapper
from torch.optim import AdamW

from admlops.engine import ReleaseTrainLoop


def one_cycle(max_iters, val_interval, lr=2e-3, warmup=0.2, cycle_iters=None):
    """Return ``train_cfg``, ``optim_wrapper`` and ``param_scheduler`` of a training.

    ``cycle_iters`` is the length of the whole cycle where this is only its beginning, and other steps its end.
    """
    cycle_iters = cycle_iters or max_iters
    warmup_iters = max(1, round(cycle_iters * warmup))
    return dict(
        train_cfg=dict(type=ReleaseTrainLoop, max_iters=max_iters, val_interval=val_interval),
        optim_wrapper=dict(
            type=OptimWrapper,
            optimizer=dict(type=AdamW, lr=lr, weight_decay=0.02),
            clip_grad=dict(max_norm=10.0),
            # Decay would pull the branches' uncertainties (UncertaintyBalance) towards equality.
            paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, custom_keys=dict(loss_balance=dict(decay_mult=0.0))),
        ),
        param_scheduler=[
            dict(type=LinearLR, start_factor=0.05, by_epoch=False, begin=0, end=warmup_iters),
            dict(
                type=CosineAnnealingLR,
                eta_min_ratio=0.01,
                by_epoch=False,
                begin=warmup_iters,
                end=cycle_iters,
                T_max=cycle_iters - warmup_iters,
            ),
        ],
    )

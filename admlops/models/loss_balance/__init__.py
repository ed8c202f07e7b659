"""How much each branch pulls on the trunk: by fixed weights, by uncertainty, or by gradient norm.

New rule: a subclass of ``LossBalance``. May import ``structures`` and below.
"""

from admlops.models.loss_balance.gradient_norm_balance import GradientNormBalance
from admlops.models.loss_balance.loss_balance import FixedBalance, LossBalance
from admlops.models.loss_balance.uncertainty_balance import UncertaintyBalance

__all__ = ["FixedBalance", "GradientNormBalance", "LossBalance", "UncertaintyBalance"]

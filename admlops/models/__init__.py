"""Networks: trunks, necks, heads and the detector that joins them; importing this fills the registries.

May import ``admlops.layers``, ``admlops.structures`` and what lies below; never data sets, metrics or drawing.
"""

from admlops.models import backbones, data_preprocessors, detectors, heads, loss_balance, losses, necks

__all__ = ["backbones", "data_preprocessors", "detectors", "heads", "loss_balance", "losses", "necks"]

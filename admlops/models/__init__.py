"""Networks: trunks, necks, heads and the detector that joins them; importing this fills the registries.

May import ``admlops.layers``, ``admlops.structures`` and what lies below; never data sets, metrics or drawing.
"""

from admlops.models import backbones, necks

__all__ = ["backbones", "necks"]

"""Staged quantization: networks that train under the rounding of integers, and the integers that come out.

Where to look: ``quant_spec`` what integers a target has; ``layer_kinds`` which layers are known; ``prepare`` puts simulating
layers (``simulated_layers``, ``activation_quantizer``) into a network and absorbs BN; ``convert`` makes a ``network_graph`` of
it; ``integer_network`` computes that in integers. Knows ``admlops.layers``, no detector. May import ``layers`` and below.
"""

from admlops.quantization.convert import float_graph, integer_graph
from admlops.quantization.integer_network import IntegerNetwork
from admlops.quantization.network_graph import Grid, NetworkGraph
from admlops.quantization.prepare import (
    LayerReport,
    absorb_bn,
    calibrating,
    prepare,
    quantizers,
    set_observing,
    uncalibrated,
)
from admlops.quantization.quant_spec import QuantSpec

__all__ = [
    "Grid",
    "IntegerNetwork",
    "LayerReport",
    "NetworkGraph",
    "QuantSpec",
    "absorb_bn",
    "calibrating",
    "float_graph",
    "integer_graph",
    "prepare",
    "quantizers",
    "set_observing",
    "uncalibrated",
]

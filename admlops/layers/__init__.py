"""What networks are made of, one module per operation: integers need a place for each quantizer.

Network code (trunk, neck, heads) is written from these modules only; a bare ``+``, ``torch.cat``, ``F.relu`` or
``F.interpolate`` there would be an operation that quantization cannot see. May import ``admlops.errors``, torch and mmengine.
"""

from admlops.layers.add import Add
from admlops.layers.concat import Concat
from admlops.layers.conv_bn_act import ConvBnAct
from admlops.layers.network_input import FeatureInput, NetworkInput
from admlops.layers.upsample_to import UpsampleTo
from admlops.layers.varg_block import SeparableVarGConv, VarGBlock, VarGDownBlock

__all__ = [
    "Add",
    "Concat",
    "ConvBnAct",
    "FeatureInput",
    "NetworkInput",
    "SeparableVarGConv",
    "UpsampleTo",
    "VarGBlock",
    "VarGDownBlock",
]

"""Trunks: a picture goes in, feature maps of several strides come out. Built from ``admlops.layers`` alone."""

from admlops.models.backbones.vargnet_v2 import VarGNetV2

__all__ = ["VarGNetV2"]

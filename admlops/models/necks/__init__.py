"""Necks: the trunk's feature maps are fused into those that heads read. Built from ``admlops.layers`` alone."""

from admlops.models.necks.varg_unet import VarGUNet

__all__ = ["VarGUNet"]

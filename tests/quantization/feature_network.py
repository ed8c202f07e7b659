"""A network that reads a map of features in place of a picture, with the wiring of a U-net that sums."""

import torch
from torch import nn

from admlops.layers import Add, ConvBnAct, FeatureInput, UpsampleTo

CHANNELS = 12


class FeatureNetwork(nn.Module):
    """Two resolutions, a sum, two raw outputs."""

    def __init__(self):
        super().__init__()
        self.entrance = FeatureInput(CHANNELS)
        self.stem = ConvBnAct(CHANNELS, 8, 3)
        self.lateral = ConvBnAct(CHANNELS, 8, 1, act=False)
        self.down = ConvBnAct(8, 8, 3, stride=2)
        self.up, self.add = UpsampleTo(), Add(act=True)
        self.first, self.second = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 1)

    def forward(self, canvas_BCHW):
        canvas = self.entrance(canvas_BCHW)
        stem = self.stem(canvas)
        feat = self.add(self.lateral(canvas), self.up(self.down(stem), stem))
        return {"first": self.first(feat), "second": self.second(feat)}


def canvases(batch=1, height=22, width=35, seed=0, scale=3.0):
    """Canvases as behind a ReLU and a maximum: not negative, most cells empty."""
    rng = torch.Generator().manual_seed(seed)
    values = torch.rand(batch, CHANNELS, height, width, generator=rng) * scale
    return values * (torch.rand(batch, 1, height, width, generator=rng) < 0.3)

"""Networks, pictures and comparisons that the tests of quantization share."""

import torch
from mmcv.cnn import ConvModule
from torch import nn

from admlops.layers import Add, Concat, ConvBnAct, NetworkInput, UpsampleTo, VarGDownBlock
from admlops.quantization import IntegerNetwork, QuantSpec, calibrating, integer_graph, prepare, quantizers


class Chain(nn.Module):
    """The picture through layers, one after the other; ``output`` is what comes out."""

    def __init__(self, **layers):
        super().__init__()
        self.network_input = NetworkInput()
        self.layers = nn.ModuleDict(layers)

    def forward(self, image_BCHW):
        feat_BCHW = self.network_input(image_BCHW)
        for layer in self.layers.values():
            feat_BCHW = layer(feat_BCHW)
        return feat_BCHW


class Zoo(nn.Module):
    """Every layer that integers know, as each of them may be wired."""

    def __init__(self):
        super().__init__()
        self.network_input = NetworkInput()
        self.stem = ConvBnAct(3, 8, 3, stride=2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.down = VarGDownBlock(8, 8, group_base=4)
        self.module = ConvModule(8, 8, 3, padding=2, dilation=2, norm_cfg={"type": "BN"}, act_cfg={"type": "ReLU"})
        self.drop = nn.Dropout2d()
        self.signed = nn.Conv2d(8, 8, (1, 3), padding=(0, 1))
        self.relu = nn.ReLU(inplace=True)
        self.mixed = Concat()
        self.rectified = Concat()
        self.up = UpsampleTo()
        self.lateral = ConvBnAct(8, 16, 1, act=False)
        self.wide = ConvBnAct(16, 16, 1, act=False)
        self.sum = Add()
        self.again = Add(act=True)
        self.head = nn.ModuleList([nn.Conv2d(16, 2, 1), ConvBnAct(16, 3, 3, act=True)])

    def forward(self, image_BCHW):
        stem = self.stem(self.network_input(image_BCHW))
        pooled = self.pool(stem)
        half = self.down(stem)
        both = self.rectified(self.drop(self.module(half)), pooled)
        signed = self.signed(half)
        mixed = self.mixed(signed, pooled)
        rectified = self.relu(self.wide(mixed))
        added = self.sum(rectified, both)
        climbed = self.again(self.lateral(stem), self.up(added, stem))
        return {"logits": self.head[0](climbed), "levels": [self.head[1](climbed), added]}


def pictures(batch=2, height=45, width=70, seed=0):
    """Pictures as they come from bytes: ``(pixel - 128) / 128``."""
    rng = torch.Generator().manual_seed(seed)
    return (torch.randint(0, 256, (batch, 3, height, width), generator=rng).float() - 128) / 128


def randomise(model, seed=0):
    """Parameters and BN as after some training: no channel is like the next."""
    rng = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu", generator=rng)
            if module.bias is not None:
                module.bias.data.normal_(0, 0.3, generator=rng)
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.3, 1.2, generator=rng)
            module.bias.data.normal_(0, 0.3, generator=rng)
            module.running_mean.normal_(0, 0.2, generator=rng)
            module.running_var.uniform_(0.5, 2, generator=rng)
    return model.eval()


def calibrate(model, *images):
    with torch.no_grad(), calibrating(model.eval()):
        for image in images or (pictures(seed=100),):
            model(image)
    return model


def quantized(model, spec=None, *images):
    """Prepare and calibrate, in eval mode."""
    prepare(model, spec or QuantSpec())
    return calibrate(model, *images)


def zoo(**fields):
    return quantized(randomise(Zoo()), QuantSpec(**fields))


def flat(outputs, name=""):
    """Raw outputs by the names that a graph gives them."""
    if isinstance(outputs, torch.Tensor):
        return {name or "output": outputs}
    items = outputs.items() if isinstance(outputs, dict) else enumerate(outputs)
    return {key: value for k, each in items for key, value in flat(each, f"{name}.{k}" if name else str(k)).items()}


@torch.no_grad()
def simulate(model, image):
    """Run the simulation: raw outputs, and the tensor of each quantizer by the layer's name."""
    tapped = {}
    handles = [
        module.register_forward_hook(
            lambda module, args, output: tapped.__setitem__(module.name.removesuffix(".out_quantizer"), output.clone())
        )
        for _, module in quantizers(model)
    ]
    outputs = flat(model.eval()(image))
    for handle in handles:
        handle.remove()
    return outputs, tapped


def differing(model, image, network=None):
    """Name what differs between the simulation and the integers, bit by bit."""
    network = network or IntegerNetwork(integer_graph(model))
    outputs, tapped = simulate(model, image)
    values = network.run(image)
    assert set(tapped) == {node.name for node in network.graph.nodes if node.grid is not None} - transparent(network.graph)
    raw = network(image)
    assert list(raw) == list(outputs)
    wrong = [name for name, value in tapped.items() if not torch.equal(values[name].to_float(), value)]
    return wrong + [f"output {name}" for name, value in outputs.items() if not torch.equal(raw[name], value)]


def transparent(graph):
    return {node.name for node in graph.nodes if node.kind in {"upsample", "max_pool", "relu"}}


def degenerate(model, image):
    """Name the quantized tensors that hold hardly any two different values."""
    return [name for name, value in simulate(model, image)[1].items() if len(value.unique()) < 8]

"""A network as a graph: a box for each step, a line in it for each layer, with output shapes."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import nn

from agns.models.backbone import Backbone
from agns.models.cross_channel import CrossChannelNorm
from agns.models.dcgan import Discriminator, Generator, MinibatchDiscrimination
from agns.models.graph import Drawing, Row
from agns.models.layers import Inception, L2Pool, PooledBranch
from agns.models.openface import OpenFace
from agns.models.recognizer import Recognizer
from agns.models.summary import Network, example, module_of
from agns.models.vgg import Vgg16

Shapes: TypeAlias = Mapping[nn.Module, tuple[int, ...]]
"""What each layer gives for one sample, the batch left out."""

WEIGHTED, POOLED, STEP, END = "#dbe9f6", "#fde3d0", "#eeeeee", "#ffffff"
FOLLOWERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Dropout)
"""Layers that stand in the box of the layer before them."""


def graph_source(network: Network, title: str) -> str:
    """A network in Graphviz's language.

    Args:
        network: In evaluation mode; it is run once on a black input.
        title: What stands above the picture.
    """
    drawing = Drawing(title)
    _Walk(drawing, output_shapes(network)).network(network)
    return drawing.source()


@torch.no_grad()
def output_shapes(network: Network) -> dict[nn.Module, tuple[int, ...]]:
    """What each layer gives for one sample, the batch left out."""
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def note(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        shapes[layer] = tuple(output.shape[1:])

    module = module_of(network)
    hooks = [layer.register_forward_hook(note) for layer in module.modules()]
    try:
        module(example(network))
    finally:
        for hook in hooks:
            hook.remove()
    for layers in module.modules():
        if isinstance(layers, nn.Sequential):
            for layer, norm in pairwise(layers):
                # A folded batch norm is not called.
                shapes.setdefault(norm, shapes[layer])
    return shapes


class _Walk:
    """Draws networks from input to output.

    Each method takes the box that its input comes from, and gives the one its output comes from.
    """

    def __init__(self, drawing: Drawing, shapes: Shapes) -> None:
        self.drawing, self.shapes = drawing, shapes

    def network(self, network: Network) -> None:
        if isinstance(network, Recognizer):
            self.recognizer(network)
        elif isinstance(network, Generator):
            self.generator(network)
        elif isinstance(network, Discriminator):
            self.discriminator(network)
        else:
            self.backbone_alone(network)

    def recognizer(self, network: Recognizer) -> None:
        size, contract = network.contract.size, network.contract
        tail = self.drawing.box([("RGB faces in [0, 1]", (3, 224, 224))], colour=END)
        steps: list[Row] = [
            (f"resized to {size}x{size}", (3, size, size)),
            (f"brought to [{contract.low:g}, {contract.high:g}]", (3, size, size)),
        ]
        if network.average is not None:
            steps.append(("less the average face", (3, size, size)))
        tail = self.drawing.box(steps, tail, colour=STEP)
        with self.drawing.frame(f"backbone: {_title(network.backbone)}"):
            tail = self.draw(network.backbone, "backbone", tail)
        with self.drawing.frame("head"):
            tail = self.draw(network.head, "head", tail)
        count = len(network.identities)
        self.drawing.box([(f"logits of {count} identities", (count,))], tail, colour=END)

    def backbone_alone(self, network: Backbone) -> None:
        shape = tuple(example(network).shape[1:])
        rows: list[Row] = [("RGB faces in the network's range", shape)]
        if network.average is not None:
            rows.append(("less the average face", shape))
        tail = self.drawing.box(rows, colour=END)
        with self.drawing.frame(f"backbone: {_title(network.network)}"):
            tail = self.draw(network.network, "", tail)
        last = self.shapes[network.network]
        self.drawing.box([("descriptor", last)], tail, colour=END)

    def generator(self, network: Generator) -> None:
        frames = self.shapes[network]
        tail = self.drawing.box([("latent in [-1, 1]", (25,))], colour=END)
        tail = self.draw(network.project, "project", tail)
        tail = self.drawing.box([("laid out as a grid", (160, 4, 11))], tail, colour=STEP)
        tail = self.draw(network.draw, "draw", tail)
        steps = [("brought to [0, 1]", frames), ("black off the silhouette", frames)]
        tail = self.drawing.box(steps, tail, colour=STEP)
        self.drawing.box([("RGB frame in [0, 1]", frames)], tail, colour=END)

    def discriminator(self, network: Discriminator) -> None:
        frames = tuple(example(network).shape[1:])
        tail = self.drawing.box([("RGB frame in [0, 1]", frames)], colour=END)
        tail = self.drawing.box([("brought to [-1, 1]", frames)], tail, colour=STEP)
        tail = self.draw(network.see, "see", tail)
        tail = self.drawing.box([("laid out in a row", (7040,))], tail, colour=STEP)
        tail = self.draw(network.compare, "compare", tail)
        tail = self.draw(network.judge, "judge", tail)
        self.drawing.box([("logit of looking real", (1,))], tail, colour=END)

    def draw(self, module: nn.Module, name: str, tail: str) -> str:
        """Draw a part of a network; `name` is its place there, in dots."""
        if isinstance(module, OpenFace):
            return self.openface(module, name, tail)
        if isinstance(module, Vgg16):
            tail = self.draw(module.features, _join(name, "features"), tail)
            tail = self.draw(module.pool, _join(name, "pool"), tail)
            return self.draw(module.descriptor, _join(name, "descriptor"), tail)
        if isinstance(module, Inception):
            with self.drawing.frame(f"{name}: inception"):
                return self.inception(module, name, tail)
        if isinstance(module, MinibatchDiscrimination):
            with self.drawing.frame(f"{name}: minibatch discrimination"):
                return self.minibatch(module, name, tail)
        if isinstance(module, nn.Sequential):
            for child, layers in _steps(module):
                tail = self.step(layers, _join(name, child), tail)
            return tail
        return self.step([module], name, tail)

    def step(self, layers: list[nn.Module], name: str, tail: str) -> str:
        """Draw layers that stand in one box, or a part that has boxes of its own."""
        first = layers[0]
        if isinstance(first, nn.Identity):
            return tail
        if isinstance(first, nn.Sequential | Inception):
            return self.draw(first, name, tail)
        pooled = isinstance(first, nn.MaxPool2d | L2Pool | nn.AdaptiveAvgPool2d)
        count = sum(parameter.numel() for layer in layers for parameter in layer.parameters())
        caption = f"{name}, {count:,} parameters" if count else name
        rows = [(_words(layer), self.shapes[layer]) for layer in layers]
        colour = WEIGHTED if count else POOLED if pooled else STEP
        return self.drawing.box(rows, tail, colour=colour, caption=caption)

    def openface(self, module: OpenFace, name: str, tail: str) -> str:
        tail = self.draw(module.stem, _join(name, "stem"), tail)
        tail = self.draw(module.inceptions, _join(name, "inceptions"), tail)
        channels = self.shapes[module.inceptions][:1]
        tail = self.drawing.box([("mean over all places", channels)], tail, colour=POOLED)
        tail = self.draw(module.embed, _join(name, "embed"), tail)
        return self.drawing.box([("brought to length 1", self.shapes[module])], tail, colour=STEP)

    def inception(self, module: Inception, name: str, tail: str) -> str:
        """Draw the branches side by side, joined below in the order of their channels."""
        ends = [self.draw(module.branch3, _join(name, "branch3"), tail)]
        if module.branch5 is not None:
            ends.append(self.draw(module.branch5, _join(name, "branch5"), tail))
        ends.append(self.pooled(module.pooled, _join(name, "pooled"), tail))
        if module.branch1 is not None:
            ends.append(self.draw(module.branch1, _join(name, "branch1"), tail))
        return self.drawing.box([("channels joined", self.shapes[module])], *ends, colour=STEP)

    def pooled(self, module: PooledBranch, name: str, tail: str) -> str:
        tail = self.draw(module.pool, _join(name, "pool"), tail)
        tail = self.draw(module.projection, _join(name, "projection"), tail)
        shape = self.shapes[module]
        if shape == self.shapes[module.projection]:
            return tail
        return self.drawing.box([("padded with zeros", shape)], tail, colour=STEP)

    def minibatch(self, module: MinibatchDiscrimination, name: str, tail: str) -> str:
        near = self.draw(module.project, _join(name, "project"), tail)
        words = f"closeness to the batch in {module.kernels} ways"
        near = self.drawing.box([(words, (module.kernels,))], near, colour=STEP)
        return self.drawing.box(
            [("features and closeness", self.shapes[module])], tail, near, colour=STEP
        )


def _steps(module: nn.Sequential) -> Iterator[tuple[str, list[nn.Module]]]:
    """The children of a sequence, each with the followers that stand in its box."""
    layers: list[nn.Module] = []
    name = ""
    for child, layer in module.named_children():
        if layers and isinstance(layer, FOLLOWERS) and not isinstance(layers[0], nn.Sequential):
            layers.append(layer)
            continue
        if layers:
            yield name, layers
        name, layers = child, [layer]
    if layers:
        yield name, layers


def _join(name: str, child: str) -> str:
    return f"{name}.{child}" if name else child


def _title(module: nn.Module) -> str:
    if isinstance(module, OpenFace):
        return f"OpenFace's nn4.small2, convention {module.convention}"
    return "VGG-16" if isinstance(module, Vgg16) else type(module).__name__


def _words(layer: nn.Module) -> str:
    """A layer in words, with what decides its shape."""
    match layer:
        case nn.ConvTranspose2d():
            return "transposed convolution " + _window(layer.kernel_size, layer.stride)
        case nn.Conv2d():
            return "convolution " + _window(layer.kernel_size, layer.stride)
        case nn.Linear():
            return "fully connected"
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return "batch norm"
        case nn.LeakyReLU():
            return f"leaky ReLU {layer.negative_slope:g}"
        case nn.Tanh():
            return "tanh"
        case nn.Dropout():
            return f"dropout {layer.p:g}"
        case nn.MaxPool2d():
            return "max pooling " + _window(layer.kernel_size, layer.stride)
        case L2Pool():
            return "L2 pooling " + _window(3, layer.stride)
        case nn.AdaptiveAvgPool2d():
            return "mean pooling"
        case CrossChannelNorm():
            return "normalisation across channels"
    return type(layer).__name__


def _window(size: object, stride: object) -> str:
    sides = size if isinstance(size, tuple) else (size, size)
    step = stride[0] if isinstance(stride, tuple) else stride
    return "x".join(map(str, sides)) + ("" if step == 1 else f", stride {step}")

"""A network as a graph: a box for each step, a line in it for each layer, with output shapes."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import nn

from agns.models.backbone import Backbone
from agns.models.checkpoint import Stored
from agns.models.cross_channel import CrossChannelNorm
from agns.models.dcgan import Discriminator, Generator, MinibatchDiscrimination
from agns.models.graph import Drawing, Row
from agns.models.layers import Inception, L2Pool, PooledBranch
from agns.models.openface import OpenFace
from agns.models.recognizer import Recognizer
from agns.models.summary import example
from agns.models.vgg import Vgg16

Shape: TypeAlias = tuple[int, ...]
Part: TypeAlias = str | tuple[str, list[Row]]
"""The name of a module within another; or a box without one, its colour and its lines."""

WEIGHTED, POOLED, STEP, END = "#dbe9f6", "#fde3d0", "#eeeeee", "#ffffff"
FOLLOWERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Dropout)
"""Layers that stand in the box of the layer before them."""


def graph_source(network: Stored, title: str) -> str:
    """A network in Graphviz's language.

    Args:
        network: In evaluation mode; it is run once on a black input.
        title: What stands above the picture.
    """
    drawing = Drawing(title)
    _Walk(drawing, output_shapes(network)).draw(network, "")
    return drawing.source()


@torch.no_grad()
def output_shapes(network: Stored) -> dict[nn.Module, Shape]:
    """What each layer gives for one sample, the batch left out."""
    shapes: dict[nn.Module, Shape] = {}

    def note(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        shapes[layer] = tuple(output.shape[1:])

    hooks = [layer.register_forward_hook(note) for layer in network.modules()]
    try:
        if isinstance(network, Backbone):
            # Without storage, a face has no values that could be checked.
            size = network.contract.size
            descriptors = network.backbone(torch.zeros(1, 3, size, size))
            if isinstance(network, Recognizer):
                network.head(descriptors)
        else:
            network(example(network))
    finally:
        for hook in hooks:
            hook.remove()
    for layers in network.modules():
        if isinstance(layers, nn.Sequential):
            for layer, norm in pairwise(layers):
                # A folded batch norm is not called.
                shapes.setdefault(norm, shapes[layer])
    return shapes


class _Walk:
    """Draws networks from input to output.

    Each method takes the boxes that its input comes from, and gives the one its output comes from.
    """

    def __init__(self, drawing: Drawing, shapes: Mapping[nn.Module, Shape]) -> None:
        self.drawing, self.shapes = drawing, shapes

    def draw(self, module: nn.Module, name: str, *tail: str) -> str:
        """Draw a network or a part of one; `name` is its place there, in dots."""
        with self.drawing.frame(_title(module, name)):
            if isinstance(module, Inception):
                return self.inception(module, name, *tail)
            if isinstance(module, MinibatchDiscrimination):
                return self.minibatch(module, name, *tail)
            if isinstance(module, nn.Sequential):
                for child, layers in _steps(module):
                    tail = (self.step(layers, _join(name, child), *tail),)
                return tail[0]
            parts = self.parts(module)
            for part in parts:
                if isinstance(part, str):
                    inner = module.get_submodule(part)
                    tail = (self.draw(inner, _join(name, part), *tail),)
                else:
                    tail = (self.drawing.box(part[1], *tail, colour=part[0]),)
            return tail[0] if parts else self.step([module], name, *tail)

    def parts(self, module: nn.Module) -> list[Part]:
        """What a module is made of, in the order of its steps; nothing where it is a layer."""
        if isinstance(module, Backbone):
            return self.face_network(module)
        if isinstance(module, Generator):
            frames = self.shapes[module]
            return [
                (END, [("latent in [-1, 1]", (25,))]),
                "project",
                (STEP, [("laid out as a grid", (160, 4, 11))]),
                "draw",
                (STEP, [("brought to [0, 1]", frames), ("black off the silhouette", frames)]),
                (END, [("RGB frame in [0, 1]", frames)]),
            ]
        if isinstance(module, Discriminator):
            frames = tuple(example(module).shape[1:])
            return [
                (END, [("RGB frame in [0, 1]", frames)]),
                (STEP, [("brought to [-1, 1]", frames)]),
                "see",
                (STEP, [("laid out in a row", (7040,))]),
                "compare",
                "judge",
                (END, [("logit of looking real", (1,))]),
            ]
        if isinstance(module, OpenFace):
            mean: Part = (POOLED, [("mean over all places", self.shapes[module.inceptions][:1])])
            length: Part = (STEP, [("brought to length 1", self.shapes[module])])
            return ["stem", "inceptions", mean, "embed", length]
        return ["features", "pool", "descriptor"] if isinstance(module, Vgg16) else []

    def face_network(self, network: Backbone) -> list[Part]:
        """Faces to descriptors, or on to logits."""
        size, low, high = network.contract.size, network.contract.low, network.contract.high
        own = (3, size, size)
        steps: list[Row] = [("less the average face", own)] if network.average is not None else []
        if not isinstance(network, Recognizer):
            given = (END, [("RGB faces in the network's range", own), *steps])
            return [given, "backbone", (END, [("descriptor", self.shapes[network.backbone])])]
        steps = [
            (f"resized to {size}x{size}", own),
            (f"brought to [{low:g}, {high:g}]", own),
            *steps,
        ]
        count = len(network.identities)
        return [
            (END, [("RGB faces in [0, 1]", (3, 224, 224))]),
            (STEP, steps),
            "backbone",
            "head",
            (END, [(f"logits of {count} identities", (count,))]),
        ]

    def step(self, layers: list[nn.Module], name: str, *tail: str) -> str:
        """Draw layers that stand in one box, or a part that has boxes of its own."""
        first = layers[0]
        if isinstance(first, nn.Identity):
            return tail[0]
        if isinstance(first, nn.Sequential | Inception):
            return self.draw(first, name, *tail)
        pooled = isinstance(first, nn.MaxPool2d | L2Pool | nn.AdaptiveAvgPool2d)
        count = sum(parameter.numel() for layer in layers for parameter in layer.parameters())
        caption = f"{name}, {count:,} parameters" if count else name
        rows = [(_words(layer), self.shapes[layer]) for layer in layers]
        colour = WEIGHTED if count else POOLED if pooled else STEP
        return self.drawing.box(rows, *tail, colour=colour, caption=caption)

    def inception(self, module: Inception, name: str, *tail: str) -> str:
        """Draw the branches side by side, joined below in the order of their channels."""
        ends = [
            self.pooled(branch, _join(name, key), *tail)
            if isinstance(branch, PooledBranch)
            else self.draw(branch, _join(name, key), *tail)
            for key, branch in module.named_branches()
        ]
        return self.drawing.box([("channels joined", self.shapes[module])], *ends, colour=STEP)

    def pooled(self, module: PooledBranch, name: str, *tail: str) -> str:
        end = self.draw(module.pool, _join(name, "pool"), *tail)
        end = self.draw(module.projection, _join(name, "projection"), end)
        shape = self.shapes[module]
        if shape == self.shapes[module.projection]:
            return end
        return self.drawing.box([("padded with zeros", shape)], end, colour=STEP)

    def minibatch(self, module: MinibatchDiscrimination, name: str, *tail: str) -> str:
        near = self.draw(module.project, _join(name, "project"), *tail)
        words = f"closeness to the batch in {module.kernels} ways"
        near = self.drawing.box([(words, (module.kernels,))], near, colour=STEP)
        joined = [("features and closeness", self.shapes[module])]
        return self.drawing.box(joined, *tail, near, colour=STEP)


def _steps(module: nn.Sequential) -> Iterator[tuple[str, list[nn.Module]]]:
    """The children of a sequence, each with the followers that stand in its box."""
    found: list[tuple[str, list[nn.Module]]] = []
    for child, layer in module.named_children():
        if (
            found
            and isinstance(layer, FOLLOWERS)
            and not isinstance(found[-1][1][0], nn.Sequential)
        ):
            found[-1][1].append(layer)
        else:
            found.append((child, [layer]))
    yield from found


def _join(name: str, child: str) -> str:
    return f"{name}.{child}" if name else child


def _title(module: nn.Module, name: str) -> str:
    """What stands above the frame around a part; nothing where it has none."""
    match module:
        case OpenFace():
            return f"backbone: OpenFace's nn4.small2, convention {module.convention}"
        case Vgg16():
            return "backbone: VGG-16"
        case Inception():
            return f"{name}: inception"
        case MinibatchDiscrimination():
            return f"{name}: minibatch discrimination"
    return "head" if name == "head" else ""


def _words(layer: nn.Module) -> str:
    """A layer in words, with what decides its shape."""
    match layer:
        case nn.ConvTranspose2d():
            return "transposed convolution " + _window(layer.kernel_size, layer.stride)
        case nn.Conv2d():
            return "convolution " + _window(layer.kernel_size, layer.stride)
        case nn.MaxPool2d():
            return "max pooling " + _window(layer.kernel_size, layer.stride)
        case L2Pool():
            return "L2 pooling " + _window(3, layer.stride)
        case nn.LeakyReLU():
            return f"leaky ReLU {layer.negative_slope:g}"
        case nn.Dropout():
            return f"dropout {layer.p:g}"
    kinds = (kind for kind in WORDS if isinstance(layer, kind))
    return WORDS[kind] if (kind := next(kinds, None)) else type(layer).__name__


WORDS: Mapping[type[nn.Module], str] = {
    nn.Linear: "fully connected",
    nn.BatchNorm1d: "batch norm",
    nn.BatchNorm2d: "batch norm",
    nn.Tanh: "tanh",
    nn.AdaptiveAvgPool2d: "mean pooling",
    CrossChannelNorm: "normalisation across channels",
}


def _window(size: object, stride: object) -> str:
    sides = size if isinstance(size, tuple) else (size, size)
    step = stride[0] if isinstance(stride, tuple) else stride
    return "x".join(map(str, sides)) + ("" if step == 1 else f", stride {step}")

"""`gen.mat` and `discrim.mat` of the MATLAB original, trained in Theano.

Each holds a cell array `matrices`: per layer a weight, then scale and shift of its batch norm.
Nothing has a bias. Kernels are true convolutions, mirrored against torch's, and fully connected
weights are (inputs, outputs), as `vl_nnmyconv`, `vl_nndeconv` and `vl_nndot` there take them.

The files hold no moving statistics: the original normalises by the batch's own, always, with an
epsilon of 1e-8. Ours are read from `batchnom_parameters_gen.mat` or `..._discrim.mat` where that
lies beside (spelt so there), and measured otherwise: layer by layer, each fed what the layers
before make of it once normalised, the generator over 512 latents and the discriminator over 128
drawn eyeglasses, and as many of the generator's where `gen.mat` lies beside. So frames differ a
little from the original's, where each also depended on the others of its batch.

The original's discriminator compares nothing within a batch: that part's verdict has weight 0 and
its kernels are drawn from N(0, 0.02), for training to go on from. Its last activation lets
nothing negative through.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from agns.errors import WeightsError
from agns.images import from_pixels
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.models.importing.imported import Imported, place
from agns.models.importing.matfile import (
    MatFile,
    entries,
    load_mat,
    member,
    numbers,
    to_tensor,
)

_GENERATOR = (
    "project.0", "project.1", "draw.0", "draw.1", "draw.3", "draw.4", "draw.6", "draw.7", "draw.9",
)  # fmt: skip
_DISCRIMINATOR = ("see.0", "see.2", "see.3", "see.5", "see.6", "see.8", "see.9", "judge")
_MOMENTS = {
    "generator": ("batchnom_parameters_gen.mat", "gen_batchnorm_params"),
    "discriminator": ("batchnom_parameters_discrim.mat", "discrim_batchnorm_params"),
}
_EPSILON = 1e-8
_LATENTS, _FRAMES, _SEED = 512, 128, 0


def read_gan(content: MatFile, path: Path, arch: str) -> Imported:
    """Build the generator or the discriminator.

    Args:
        content: The file's.
        path: The file.
        arch: "generator" or "discriminator".

    Raises:
        WeightsError: It holds another network, or a matrix does not fit.
    """
    drawing = arch == "generator"
    network = _filled(Generator() if drawing else Discriminator(last_slope=0), content, path, arch)
    file, variable = _MOMENTS[arch]
    beside = path.with_name(file)
    if beside.is_file():
        _take_moments(network, load_mat(beside).variables.get(variable), beside)
        return Imported(network=network, kind=f"the MATLAB original's {arch}, with {file}")
    if isinstance(network, Generator):
        _measure_generator(network)
        kind = f"the MATLAB original's {arch}, statistics measured on {_LATENTS} latents"
        return Imported(network=network, kind=kind)
    kind = f"the MATLAB original's {arch}, statistics measured on drawn eyeglasses"
    frames = _drawn()
    generator = path.with_name("gen.mat")
    if generator.is_file():
        other = read_gan(load_mat(generator), generator, "generator").network
        assert isinstance(other, Generator)
        latents = sample_latents(_FRAMES, generator=torch.Generator().manual_seed(_SEED))
        with torch.inference_mode():
            frames = torch.cat([frames, other(latents)])
        kind += " and gen.mat's"
    _measure(network.see, 2 * frames - 1)
    return Imported(network=network, kind=kind)


def _filled(
    network: Generator | Discriminator, content: MatFile, path: Path, arch: str
) -> Generator | Discriminator:
    matrices = entries(content.variables.get("matrices"))
    layers = _GENERATOR if isinstance(network, Generator) else _DISCRIMINATOR
    norms = [isinstance(network.get_submodule(name), _Norm) for name in layers]
    if len(matrices) != len(layers) + sum(norms):
        raise WeightsError(
            f"{path} holds {len(matrices)} matrices, and a {arch} has {len(layers) + sum(norms)}"
        )
    tensors: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    at = 0

    def take(name: str) -> np.ndarray:
        nonlocal at
        at += 1
        names[name] = f"matrices{{{at}}}"
        return np.atleast_2d(numbers(matrices[at - 1], names[name], path))

    for layer in layers:
        module = network.get_submodule(layer)
        weight = f"{layer}.weight"
        array = take(weight)
        if isinstance(module, _Norm):
            tensors[weight] = to_tensor(array.ravel(), names[weight], path)
            shift = take(f"{layer}.bias")
            tensors[f"{layer}.bias"] = to_tensor(shift.ravel(), names[f"{layer}.bias"], path)
            continue
        if isinstance(module, nn.Linear):
            array = array.T
            if layer == "judge":
                kernels = module.in_features - array.shape[-1]
                array = np.pad(array, [(0, 0), (0, max(0, kernels))])
        else:
            array = array[..., ::-1, ::-1]
        tensors[weight] = to_tensor(array, names[weight], path)
    own = network.state_dict()
    if isinstance(network, Discriminator):
        draws = torch.Generator().manual_seed(_SEED)
        shape = own["compare.project.weight"].shape
        tensors["compare.project.weight"] = 0.02 * torch.randn(shape, generator=draws)
    for name, tensor in own.items():
        if name.endswith((".bias", "running_mean", "running_var")):
            tensors.setdefault(name, torch.zeros_like(tensor))
    place(network, tensors, {name: names.get(name, name) for name in tensors}, path)
    return network.eval()


_Norm = nn.BatchNorm1d | nn.BatchNorm2d


def _norms(network: nn.Module) -> list[nn.BatchNorm1d | nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, _Norm)]


def _set(norm: nn.BatchNorm1d | nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Give a batch norm its statistics, the original's epsilon in place of its own."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_((variance + (_EPSILON - norm.eps)).clamp_min(0))


def _take_moments(network: nn.Module, value: object, path: Path) -> None:
    norms, moments = _norms(network), entries(value)
    if len(moments) != len(norms):
        raise WeightsError(f"{path} holds {len(moments)} pairs of moments, expected {len(norms)}")
    for index, (norm, pair) in enumerate(zip(norms, moments, strict=True), 1):
        mean, variance = (
            to_tensor(numbers(member(pair, name), what, path).ravel(), what, path)
            for name, what in (("mu", f"mu of layer {index}"), ("v", f"v of layer {index}"))
        )
        for what, tensor in (("mu", mean), ("v", variance)):
            if tensor.shape != (norm.num_features,):
                raise WeightsError(
                    f"{path}: {what} of layer {index} comes to {tuple(tensor.shape)}, "
                    f"expected {(norm.num_features,)}"
                )
        if bool((variance < 0).any()):
            raise WeightsError(f"{path}: v of layer {index} holds a negative variance")
        _set(norm, mean, variance)


def _measure(layers: Iterable[nn.Module], x: Tensor) -> Tensor:
    """Give each batch norm the statistics of what reaches it; what leaves the last layer."""
    with torch.no_grad():
        for layer in layers:
            if isinstance(layer, _Norm):
                axes = (0, 2, 3) if x.ndim == 4 else (0,)
                _set(layer, x.mean(axes), x.var(axes, correction=0))
            x = layer(x)
    return x


def _measure_generator(network: Generator) -> None:
    latents = sample_latents(_LATENTS, generator=torch.Generator().manual_seed(_SEED))
    _measure(network.draw, _measure(network.project, latents).reshape(-1, 160, 4, 11))


def _drawn() -> Tensor:
    from agns.data.simulation.drawn_frames import draw_frames

    return from_pixels(draw_frames(_FRAMES, seed=_SEED))

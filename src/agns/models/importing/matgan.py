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

from agns.data.simulation.drawn_frames import draw_frames
from agns.errors import WeightsError
from agns.images import from_pixels
from agns.models.dcgan import Discriminator, Generator, sample_latents
from agns.models.importing.imported import Found, Imported, layers_of, place
from agns.models.importing.matfile import load_mat
from agns.models.importing.matvalues import MatFile, entries, member, numbers, tensor_of

_MOMENTS = {
    "generator": ("batchnom_parameters_gen.mat", "gen_batchnorm_params"),
    "discriminator": ("batchnom_parameters_discrim.mat", "discrim_batchnorm_params"),
}
_EPSILON = 1e-8
_LATENTS, _FRAMES, _SEED = 512, 128, 0


def read_gan(content: MatFile, path: Path, arch: str) -> Imported:
    """Build the generator or the discriminator from a file's content.

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
        latents = sample_latents(_FRAMES, rng=torch.Generator().manual_seed(_SEED))
        with torch.inference_mode():
            frames = torch.cat([frames, other(latents)])
        kind += " and gen.mat's"
    _measure(network.see, 2 * frames - 1)
    return Imported(network=network, kind=kind)


_Norm = nn.BatchNorm1d | nn.BatchNorm2d


def _filled(
    network: Generator | Discriminator, content: MatFile, path: Path, arch: str
) -> Generator | Discriminator:
    matrices = entries(content.variables.get("matrices"))
    # Nothing of the original's stands for the comparison within a batch.
    layers = layers_of(network)
    layers.pop("compare.project", None)
    count = len(layers) + len(_norms(network))
    if len(matrices) != count:
        raise WeightsError(f"{path} holds {len(matrices)} matrices, and a {arch} has {count}")
    numbered = enumerate(matrices, 1)

    def take() -> tuple[np.ndarray, str]:
        at, matrix = next(numbered)
        what = f"matrices{{{at}}}"
        return np.atleast_2d(numbers(matrix, what, path)), what

    found: Found = {}
    for layer, module in layers.items():
        array, what = take()
        if isinstance(module, _Norm):
            found[f"{layer}.weight"] = tensor_of(array.ravel(), what, path), what
            shift, what = take()
            found[f"{layer}.bias"] = tensor_of(shift.ravel(), what, path), what
            continue
        if isinstance(module, nn.Linear):
            array = array.T
            if layer == "judge":
                kernels = module.in_features - array.shape[-1]
                array = np.pad(array, [(0, 0), (0, max(0, kernels))])
        else:
            array = array[..., ::-1, ::-1]
        found[f"{layer}.weight"] = tensor_of(array, what, path), what
    own = network.state_dict()
    if isinstance(network, Discriminator):
        rng = torch.Generator().manual_seed(_SEED)
        name = "compare.project.weight"
        found[name] = 0.02 * torch.randn(own[name].shape, generator=rng), name
    for name, tensor in own.items():
        if name.endswith((".bias", "running_mean", "running_var")):
            found.setdefault(name, (torch.zeros_like(tensor), name))
    place(network, found, path)
    return network.eval()


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
            tensor_of(numbers(member(pair, name), what, path).ravel(), what, path)
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
    latents = sample_latents(_LATENTS, rng=torch.Generator().manual_seed(_SEED))
    _measure(network.draw, _measure(network.project, latents).reshape(-1, 160, 4, 11))


def _drawn() -> Tensor:
    return from_pixels(draw_frames(_FRAMES, seed=_SEED))

"""TensorFlow Lite's operations, as functions of PyTorch's tensors with channels last."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from agns.models.importing.foreign_step import Refused, Run, Value, integers, within
from agns.models.importing.windows import Border, convolved, full_border, pooled

_Function: TypeAlias = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class Operation:
    """How one kind of operation is run."""

    build: Callable[[Any], Run]
    """From its settings, which raises ValueError at such as are not read."""

    options: str = ""
    """The table of its settings; empty where it has none that matter."""

    work: Callable[..., int] = lambda *_: 1


_KINDS = {0: torch.float32, 1: torch.float32, 2: torch.int64, 4: torch.int64, 6: torch.bool}

_ACTIVATIONS: dict[int, _Function] = {
    0: lambda x: x, 1: torch.relu, 2: lambda x: x.clamp(-1, 1), 3: F.relu6, 4: torch.tanh,
}  # fmt: skip


def _activated(run: _Function, options: Any) -> Run:
    """With the activation that is fused to it."""
    code = options.FusedActivationFunction()
    if code not in _ACTIVATIONS:
        raise ValueError(f"activation {code} is not read")
    activation = _ACTIVATIONS[code]
    return (lambda *given: activation(run(*given))) if code else run


def _plain(run: Run) -> Operation:
    return Operation(lambda _: run)


def _elementwise(run: _Function, options: str) -> Operation:
    return Operation(lambda settings: _activated(run, settings), options)


def _axis(axis: int, value: Tensor) -> int:
    if not -value.ndim <= axis < value.ndim:
        raise Refused(f"there is no axis {axis} of {value.ndim}")
    return axis


def _spaced(options: Any) -> tuple[tuple[int, int], Callable[[Tensor, Sequence[int]], Border]]:
    """The steps of windows, and the border that pictures get for windows of some size."""
    steps = (options.StrideH(), options.StrideW())
    if min(steps) < 1 or options.Padding() not in (0, 1):
        raise ValueError(f"steps of {steps} and padding {options.Padding()} are not read")
    if options.Padding() == 0:
        return steps, lambda x, window: full_border(x.shape[2:], window, steps)
    return steps, lambda x, window: ((0, 0), (0, 0))


def _convolution(options: Any, *, depthwise: bool) -> Run:
    steps, border = _spaced(options)
    dilation = (options.DilationHFactor(), options.DilationWFactor())
    if min(dilation) < 1:
        raise ValueError(f"a dilation of {dilation} is not read")

    def run(x: Tensor, weight: Tensor, bias: Value = None) -> Tensor:
        if x.ndim != 4 or weight.ndim != 4:
            raise Refused("pictures and weights should have four axes")
        x = x.permute(0, 3, 1, 2)
        weight = weight.permute(3, 0, 1, 2) if depthwise else weight.permute(0, 3, 1, 2)
        window = [d * (n - 1) + 1 for d, n in zip(dilation, weight.shape[2:], strict=True)]
        made = convolved(
            x, weight, bias, steps=steps, border=border(x, window), dilation=dilation,
            groups=x.shape[1] // weight.shape[1],
        )  # fmt: skip
        return made.permute(0, 2, 3, 1)

    return _activated(run, options)


def _pooling(options: Any, *, largest: bool) -> Run:
    steps, border = _spaced(options)
    window = (options.FilterHeight(), options.FilterWidth())

    def run(x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2)
        return pooled(x, window, steps, border(x, window), largest=largest).permute(0, 2, 3, 1)

    return _activated(run, options)


def _fully_connected(options: Any) -> Run:
    def run(x: Tensor, weight: Tensor, bias: Value = None) -> Tensor:
        flat = x if options.KeepNumDims() else x.reshape(-1, weight.shape[-1])
        return F.linear(flat, weight, bias)

    if options.WeightsFormat():
        raise ValueError("shuffled weights are not read")
    return _activated(run, options)


def _reduction(function: Callable[..., Tensor]) -> Operation:
    def build(options: Any) -> Run:
        keep = bool(options.KeepDims())
        return lambda x, axes: function(
            x, dim=[_axis(axis, x) for axis in integers(axes)], keepdim=keep
        )

    return Operation(build, "ReducerOptions")


def _squeeze(options: Any) -> Run:
    axes = (
        [int(axis) for axis in options.SqueezeDimsAsNumpy()] if options.SqueezeDimsLength() else []
    )
    return lambda x: x.squeeze([_axis(axis, x) for axis in axes]) if axes else x.squeeze()


def _pad(x: Tensor, widths: Tensor, fill: Value = None, *, mode: str = "constant") -> Tensor:
    pairs = integers(widths)
    if len(pairs) != 2 * x.ndim or min(pairs, default=0) < 0:
        raise Refused(f"{pairs} should pad {x.ndim} axes")
    within(n + pairs[2 * i] + pairs[2 * i + 1] for i, n in enumerate(x.shape))
    turned = [pairs[2 * i + j] for i in reversed(range(x.ndim)) for j in (0, 1)]
    if mode == "constant":
        return F.pad(x, turned, value=0.0 if fill is None else float(fill))
    if x.ndim != 4 or any(pairs[:2]) or any(pairs[6:]):
        raise Refused("only height and width are padded by mirrors")
    return F.pad(x.permute(0, 3, 1, 2), turned[2:6], mode=mode).permute(0, 2, 3, 1)


def _mirror_pad(options: Any) -> Run:
    if options.Mode() != 0:
        raise ValueError("only mirrors without the edge are read")
    return lambda x, widths: _pad(x, widths, mode="reflect")


def _concatenation(options: Any) -> Run:
    axis = options.Axis()
    return _activated(lambda *some: torch.cat(some, _axis(axis, some[0])), options)


def _strided_slice(options: Any) -> Run:
    if options.EllipsisMask() or options.NewAxisMask():
        raise ValueError("slices with new axes are not read")
    first, last, single = options.BeginMask(), options.EndMask(), options.ShrinkAxisMask()

    def run(x: Tensor, begin: Tensor, end: Tensor, strides: Tensor) -> Tensor:
        index: list[int | slice] = []
        spans = zip(integers(begin), integers(end), integers(strides), strict=True)
        for n, (start, stop, step) in enumerate(spans):
            if step < 1:
                raise Refused(f"a step of {step} is not read")
            if single >> n & 1:
                index.append(start)
            else:
                index.append(
                    slice(None if first >> n & 1 else start, None if last >> n & 1 else stop, step)
                )
        return x[tuple(index)]

    return run


def _slice(x: Tensor, begin: Tensor, sizes: Tensor) -> Tensor:
    spans = zip(integers(begin), integers(sizes), strict=True)
    return x[tuple(slice(at, None if size == -1 else at + size) for at, size in spans)]


def _resize(options: Any) -> Run:
    corners = bool(options.AlignCorners())
    if not corners and not options.HalfPixelCenters():
        raise ValueError("only pixels' centres or corners that are aligned are read")

    def run(x: Tensor, sizes: Tensor) -> Tensor:
        height, width = integers(sizes)
        within((*x.shape[::3], height, width))
        made = F.interpolate(
            x.permute(0, 3, 1, 2), (height, width), mode="bilinear", align_corners=corners
        )
        return made.permute(0, 2, 3, 1)

    return run


def _matrices(options: Any) -> Run:
    left, right = bool(options.AdjX()), bool(options.AdjY())
    return lambda a, b: (a.mT if left else a) @ (b.mT if right else b)


def _gather(options: Any) -> Run:
    if options.BatchDims():
        raise ValueError("indices for each photo are not read")
    axis = options.Axis()

    def run(x: Tensor, places: Tensor) -> Tensor:
        at = _axis(axis, x) % x.ndim
        made = x.index_select(at, places.reshape(-1).to(x.device))
        return made.reshape([*x.shape[:at], *places.shape, *x.shape[at + 1 :]])

    return run


def _sloped(x: Tensor, slope: Tensor) -> Tensor:
    if slope.shape[-1:] == x.shape[-1:] == (slope.numel(),):
        return F.prelu(x.reshape(-1, slope.numel()), slope.flatten()).reshape(x.shape)
    return torch.where(x > 0, x, slope * x)


def _cast(options: Any) -> Run:
    code = options.OutDataType()
    if code not in _KINDS:
        raise ValueError(f"numbers of kind {code} are not read")
    return lambda x: x.to(_KINDS[code])


def _area(x: Tensor) -> int:
    """The same of pooling, at most."""
    return 4 * x.shape[1] * x.shape[2]


def _weight(_: Value, weight: Tensor, *__: Value) -> int:
    """Multiplications of a convolution or a matrix for each number."""
    return weight.shape[1:].numel()


OPERATIONS: dict[str, Operation] = {
    "CONV_2D": Operation(lambda o: _convolution(o, depthwise=False), "Conv2DOptions", _weight),
    "DEPTHWISE_CONV_2D": Operation(
        lambda o: _convolution(o, depthwise=True),
        "DepthwiseConv2DOptions",
        lambda _, weight, *__: weight.shape[:3].numel(),
    ),
    "FULLY_CONNECTED": Operation(_fully_connected, "FullyConnectedOptions", _weight),
    "BATCH_MATMUL": Operation(_matrices, "BatchMatMulOptions", lambda a, _: max(a.shape[-2:])),
    "AVERAGE_POOL_2D": Operation(lambda o: _pooling(o, largest=False), "Pool2DOptions", _area),
    "MAX_POOL_2D": Operation(lambda o: _pooling(o, largest=True), "Pool2DOptions", _area),
    "ADD": _elementwise(torch.add, "AddOptions"),
    "SUB": _elementwise(torch.sub, "SubOptions"),
    "MUL": _elementwise(torch.mul, "MulOptions"),
    "DIV": _elementwise(torch.div, "DivOptions"),
    "MAXIMUM": _plain(torch.maximum),
    "MINIMUM": _plain(torch.minimum),
    "POW": _plain(torch.pow),
    "SQUARED_DIFFERENCE": _plain(lambda a, b: (a - b).square()),
    "RELU": _plain(torch.relu),
    "RELU6": _plain(F.relu6),
    "RELU_N1_TO_1": _plain(_ACTIVATIONS[2]),
    "PRELU": _plain(_sloped),
    "LEAKY_RELU": Operation(lambda o: lambda x: F.leaky_relu(x, o.Alpha()), "LeakyReluOptions"),
    "ELU": _plain(F.elu),
    "GELU": Operation(
        lambda o: lambda x: F.gelu(x, approximate="tanh" if o.Approximate() else "none"),
        "GeluOptions",
    ),
    "HARD_SWISH": _plain(F.hardswish),
    "LOGISTIC": _plain(torch.sigmoid),
    "TANH": _plain(torch.tanh),
    "SOFTMAX": Operation(lambda o: lambda x: (o.Beta() * x).softmax(-1), "SoftmaxOptions"),
    "LOG_SOFTMAX": _plain(lambda x: x.log_softmax(-1)),
    "L2_NORMALIZATION": _plain(partial(F.normalize, dim=-1, eps=1e-6)),
    "ABS": _plain(torch.abs),
    "NEG": _plain(torch.neg),
    "EXP": _plain(torch.exp),
    "LOG": _plain(torch.log),
    "SQRT": _plain(torch.sqrt),
    "RSQRT": _plain(torch.rsqrt),
    "SQUARE": _plain(torch.square),
    "MEAN": _reduction(torch.mean),
    "SUM": _reduction(torch.sum),
    "REDUCE_MAX": _reduction(torch.amax),
    "RESHAPE": _plain(lambda x, sizes: x.reshape(integers(sizes))),
    "SQUEEZE": Operation(_squeeze, "SqueezeOptions"),
    "EXPAND_DIMS": _plain(lambda x, axis: x.unsqueeze(integers(axis)[0])),
    "TRANSPOSE": _plain(lambda x, order: x.permute(integers(order))),
    "CONCATENATION": Operation(_concatenation, "ConcatenationOptions"),
    "PACK": Operation(lambda o: lambda *some: torch.stack(some, o.Axis()), "PackOptions"),
    "PAD": _plain(_pad),
    "PADV2": _plain(_pad),
    "MIRROR_PAD": Operation(_mirror_pad, "MirrorPadOptions"),
    "SHAPE": _plain(lambda x: torch.tensor(x.shape, device="cpu")),
    "SLICE": _plain(_slice),
    "STRIDED_SLICE": Operation(_strided_slice, "StridedSliceOptions"),
    "GATHER": Operation(_gather, "GatherOptions"),
    "RESIZE_BILINEAR": Operation(_resize, "ResizeBilinearOptions"),
    "CAST": Operation(_cast, "CastOptions"),
    "DEQUANTIZE": _plain(lambda x: x.float()),
}
"""By their names in the schema."""

"""ONNX's operations as functions of PyTorch's tensors, in the forms of operator sets 7 to 25."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from agns.models.importing.foreign_step import Refused, Run, Step, Value, integers
from agns.models.importing.onnx_attributes import Attributes, along_axes, axes_of
from agns.models.importing.onnx_shaping import SHAPING
from agns.models.importing.windows import Border, convolved, full_border, pooled

_Build: TypeAlias = Callable[[Attributes], Run]


def _border(a: Attributes) -> Callable[[Tensor, Sequence[int], Sequence[int]], Border]:
    """What is added to pictures before windows of a size go over them in steps."""
    kind, pads = a.get("auto_pad", "NOTSET"), a.integers("pads") or [0, 0, 0, 0]
    if kind in ("SAME_UPPER", "SAME_LOWER"):
        odd_first = kind == "SAME_LOWER"
        return lambda x, window, steps: full_border(x.shape[2:], window, steps, odd_first=odd_first)
    if kind == "VALID":
        pads = [0, 0, 0, 0]
    elif kind != "NOTSET":
        raise Refused(f"auto_pad {kind} is not read")
    if len(pads) != 4 or min(pads) < 0:
        raise Refused(f"pads {pads} are not read: two axes should have a border of 0 or more")
    return lambda *_: ((pads[0], pads[2]), (pads[1], pads[3]))


def _pair(a: Attributes, name: str) -> tuple[int, int]:
    found = a.integers(name) or [1, 1]
    if len(found) != 2 or min(found) < 1:
        raise Refused(f"{name} {found} is not read: only two axes are")
    return found[0], found[1]


def _conv(a: Attributes) -> Run:
    kernel = a.integers("kernel_shape")
    steps, dilation, groups = _pair(a, "strides"), _pair(a, "dilations"), a.get("group", 1)
    border = _border(a)

    def run(x: Tensor, weight: Tensor, bias: Value = None) -> Tensor:
        if x.ndim != 4 or weight.ndim != 4:
            raise Refused("only convolutions of two axes are read")
        if kernel and list(kernel) != list(weight.shape[2:]):
            raise Refused(f"kernel_shape {kernel} is not that of the weights")
        window = [d * (n - 1) + 1 for d, n in zip(dilation, weight.shape[2:], strict=True)]
        return convolved(
            x, weight, bias, steps=steps, border=border(x, window, steps), dilation=dilation,
            groups=groups,
        )  # fmt: skip

    return run


def _pool(a: Attributes, *, largest: bool) -> Run:
    a.expect(storage_order=0)
    a.expect(dilations=[1, 1])
    window, steps, border = _pair(a, "kernel_shape"), _pair(a, "strides"), _border(a)
    counts, ceil = bool(a.get("count_include_pad", 0)), bool(a.get("ceil_mode", 0))

    if ceil and counts:
        raise Refused("windows over the edge that count the border (ceil_mode) are not read")

    def over(size: int, pair: tuple[int, int], window: int, step: int) -> tuple[int, int]:
        """A border so wide that a last window over the edge fits, if it begins within."""
        count = -(-(size + sum(pair) - window) // step)
        count -= count * step >= size + pair[0]
        return pair[0], max(count * step + window - size - pair[0], pair[1])

    def run(x: Tensor) -> Tensor:
        around = border(x, window, steps)
        if ceil:
            rows, columns = map(over, x.shape[2:], around, window, steps)
            around = rows, columns
        return pooled(x, window, steps, around, largest=largest, border_counts=counts)

    return run


def _batch_norm(a: Attributes) -> Run:
    epsilon = a.get("epsilon", 1e-5)
    a.ignore("momentum")
    a.expect(spatial=1, training_mode=0)

    def run(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return F.batch_norm(x, mean, variance, scale, bias, training=False, eps=epsilon)

    return run


def _layer_norm(a: Attributes) -> Run:
    axis, epsilon = a.get("axis", -1), a.get("epsilon", 1e-5)
    a.expect(stash_type=1)

    def run(x: Tensor, scale: Tensor, bias: Value = None) -> Tensor:
        sizes = x.shape[axes_of([axis], x)[0] :]
        shift = None if bias is None else bias.expand(sizes)
        return F.layer_norm(x, sizes, scale.expand(sizes), shift, epsilon)

    return run


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    channels = slope.shape[1 - x.ndim] if 1 < x.ndim <= slope.ndim + 1 else 0
    if channels == x.shape[1:2].numel() == slope.numel():
        return F.prelu(x, slope.flatten())
    return torch.where(x > 0, x, slope * x)


def _clip(a: Attributes) -> Run:
    low, high = a.get("min", float("-inf")), a.get("max", float("inf"))

    def run(x: Tensor, least: Value = None, most: Value = None) -> Tensor:
        x = x.clamp_min(low) if least is None else x.clamp(min=least)
        return x.clamp_max(high) if most is None else x.clamp(max=most)

    return run


def _gemm(a: Attributes) -> Run:
    alpha, beta = a.get("alpha", 1.0), a.get("beta", 1.0)
    left, right = a.get("transA", 0), a.get("transB", 0)

    def run(x: Tensor, weight: Tensor, bias: Value = None) -> Tensor:
        x, weight = (x.mT if left else x), (weight if right else weight.mT)
        if alpha == beta == 1 and bias is not None and bias.ndim == 1:
            return F.linear(x, weight, bias)
        made = alpha * (x @ weight.mT)
        return made if bias is None else made + beta * bias

    return run


def _reduce(
    function: Callable[[Tensor, list[int], bool], Tensor], *, powers: bool = False
) -> _Build:
    def build(a: Attributes) -> Run:
        keep = bool(a.get("keepdims", 1))
        still = bool(a.get("noop_with_empty_axes", 0))

        def reduce(x: Tensor, axes: list[int]) -> Tensor:
            if not axes and still:
                if powers:
                    raise Refused("it has no axes, and runtimes do not agree on what it gives then")
                return x
            return function(x, axes_of(axes or range(x.ndim), x), keep)

        return along_axes(a, reduce)

    return build


def _softmax(a: Attributes, function: Callable[[Tensor, int], Tensor]) -> Run:
    if a.opset >= 13:
        axis = a.get("axis", -1)
        return lambda x: function(x, axes_of([axis], x)[0])
    first = a.get("axis", 1)

    def run(x: Tensor) -> Tensor:
        # Earlier sets flatten all axes from this one on.
        at = axes_of([first], x)[0]
        return function(x.flatten(at), at).reshape(x.shape)

    return run


def _div(x: Tensor, y: Tensor) -> Tensor:
    whole = not (x.is_floating_point() or y.is_floating_point())
    return torch.div(x, y, rounding_mode="trunc" if whole else None)


def _each(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """A function of any number of inputs, two at a time."""

    def run(first: Tensor, *more: Tensor) -> Tensor:
        for one in more:
            first = function(first, one)
        return first

    return run


def _taking(function: Callable[..., Tensor], **names: tuple[str, Any]) -> _Build:
    """A function of one input, whose keywords have other names and defaults in ONNX."""

    def build(a: Attributes) -> Run:
        given = {name: a.get(*theirs) for name, theirs in names.items()}
        return lambda x: function(x, **given)

    return build


def _dropout(a: Attributes) -> Run:
    a.ignore("ratio", "seed", "is_test")

    def run(x: Tensor, _: Value = None, training: Value = None) -> Tensor:
        if training is not None and any(integers(training)):
            raise Refused("it trains: export the network after its eval()")
        return x

    return run


_PLAIN: dict[str, Run] = {
    "Abs": torch.abs, "Add": torch.add, "And": torch.logical_and, "Ceil": torch.ceil, "Div": _div,
    "Equal": torch.eq, "Erf": torch.erf, "Exp": torch.exp, "Floor": torch.floor,
    "GlobalAveragePool": lambda x: x.mean(list(range(2, x.ndim)), keepdim=True),
    "GlobalMaxPool": lambda x: x.amax(list(range(2, x.ndim)), keepdim=True),
    "Greater": torch.gt, "HardSwish": F.hardswish, "Identity": lambda x: x, "Less": torch.lt,
    "Log": torch.log, "MatMul": torch.matmul, "Max": _each(torch.maximum),
    "Min": _each(torch.minimum), "Mish": F.mish, "Mul": torch.mul, "Neg": torch.neg,
    "Not": torch.logical_not, "PRelu": _prelu, "Pow": torch.pow,
    "Reciprocal": torch.reciprocal, "Relu": torch.relu, "Sigmoid": torch.sigmoid,
    "Softplus": F.softplus, "Sqrt": torch.sqrt, "Sub": torch.sub, "Sum": _each(torch.add),
    "Tanh": torch.tanh, "Where": torch.where,
}  # fmt: skip
_BUILT: dict[str, _Build] = SHAPING | {
    "AveragePool": lambda a: _pool(a, largest=False), "BatchNormalization": _batch_norm,
    "Clip": _clip, "Conv": _conv, "Dropout": _dropout,
    "Elu": _taking(F.elu, alpha=("alpha", 1.0)),
    "Gelu": _taking(F.gelu, approximate=("approximate", "none")), "Gemm": _gemm,
    "HardSigmoid": _taking(
        lambda x, slope, shift: (slope * x + shift).clamp(0, 1),
        slope=("alpha", 0.2), shift=("beta", 0.5),
    ),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _taking(F.leaky_relu, negative_slope=("alpha", 0.01)),
    "LogSoftmax": lambda a: _softmax(a, torch.log_softmax),
    "LpNormalization": _taking(F.normalize, dim=("axis", -1), p=("p", 2)),
    "MaxPool": lambda a: _pool(a, largest=True),
    "ReduceL2": _reduce(
        lambda x, axes, keep: x.square().sum(axes, keepdim=keep).sqrt(), powers=True
    ),
    "ReduceMax": _reduce(torch.amax), "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin), "ReduceSum": _reduce(torch.sum),
    "ReduceSumSquare": _reduce(
        lambda x, axes, keep: x.square().sum(axes, keepdim=keep), powers=True
    ),
    "Softmax": lambda a: _softmax(a, torch.softmax),
}  # fmt: skip
_WORK: dict[str, Callable[..., int]] = {
    "Conv": lambda _, weight, *__: weight.shape[1:].numel(),
    "MatMul": lambda x, _: x.shape[-1], "Gemm": lambda x, *_: max(x.shape),
    "AveragePool": lambda x: 4 * x.shape[2:].numel(), "MaxPool": lambda x: 4 * x.shape[2:].numel(),
}  # fmt: skip
KNOWN = sorted(_PLAIN.keys() | _BUILT)
"""The operations that are read, by name."""


def build_step(
    kind: str, name: str, inputs: tuple[str, ...], outputs: tuple[str, ...], a: Attributes
) -> Step:
    """An operation of those in `KNOWN`.

    Raises:
        Refused: It has settings that are not read.
    """
    run = _PLAIN.get(kind) or _BUILT[kind](a)
    a.ignore("consumed_inputs")
    if left := sorted(set(a.given) - a.asked):
        raise Refused(f"{left[0]} is not read")
    return Step(
        what=f"{kind} {name}", run=run, inputs=inputs, outputs=outputs,
        reshapes=kind == "Reshape", reads=kind in ("Dropout", "Pad", "Resize", "Upsample"),
        work=_WORK.get(kind, lambda *_: 1),
    )  # fmt: skip

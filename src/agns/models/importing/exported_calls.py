"""Calls of PyTorch's operations in a file of `torch.export.save`: of those that compute alone."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from agns.models.importing.foreign_step import MOST_STEPS, Refused, Step, Value, integers

TYPES = {
    1: torch.uint8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16,
    7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
"""By the codes of PyTorch's schema."""

_SIZED = ("view", "reshape", "_unsafe_view", "expand")
"""Operations whose second argument holds sizes, in which the batch may stand as a figure."""

_OPERATIONS = {
    *_SIZED,
    "_adaptive_avg_pool2d", "_native_batch_norm_legit_no_training", "_prelu_kernel", "_softmax",
    "_to_copy", "abs", "adaptive_avg_pool2d", "add", "addmm", "alias", "amax", "amin", "any",
    "avg_pool2d", "baddbmm", "batch_norm", "bitwise_not", "bmm", "cat", "ceil", "chunk", "clamp",
    "clamp_max", "clamp_min", "clone", "constant_pad_nd", "contiguous", "conv2d", "convolution",
    "copy",
    "detach", "div", "dropout", "elu", "eq", "erf", "exp", "expand_as", "flatten", "floor",
    "full_like", "ge", "gelu", "group_norm", "gt", "hardsigmoid", "hardswish", "hardtanh",
    "index_select", "instance_norm", "layer_norm", "le", "leaky_relu", "lift_fresh_copy",
    "linalg_vector_norm", "linear", "log", "log_softmax", "logical_and", "logical_not",
    "logsumexp", "lt", "mT", "masked_fill", "matmul", "max_pool2d", "max_pool2d_with_indices",
    "maximum", "mean", "minimum", "mish", "mm", "mul", "narrow", "native_group_norm",
    "native_layer_norm", "ne", "neg", "norm", "numpy_T", "ones_like", "pad", "permute",
    "pixel_unshuffle", "pow", "prelu", "reciprocal", "relu", "relu6", "reshape_as", "roll",
    "rsqrt", "rsub", "scaled_dot_product_attention", "select", "select_scatter", "sigmoid", "silu",
    "slice", "slice_scatter",
    "softmax", "softplus", "split", "split_with_sizes", "sqrt", "square", "squeeze", "stack",
    "sub", "sum", "sym_size", "t", "tanh", "to", "transpose", "type_as", "unbind", "unflatten",
    "unsafe_split", "unsafe_split_with_sizes", "unsqueeze", "upsample_bilinear2d",
    "upsample_nearest2d", "var", "where", "zeros_like",
}  # fmt: skip
"""Of `torch.ops.aten`, also with the underscore of those that overwrite."""

_MOST_MADE = 1 << 24
"""Numbers of a tensor that an operation makes of sizes and integers alone."""

_MADE = {
    "arange", "full", "ones", "zeros", "scalar_tensor", "new_full", "new_ones", "new_zeros",
}  # fmt: skip
"""Operations that make a tensor of given sizes."""

_OPERATIONS |= _MADE

_SEVERAL = {
    "chunk", "split", "split_with_sizes", "unbind", "unsafe_split", "unsafe_split_with_sizes",
}  # fmt: skip
"""Operations that give several tensors."""

_ARITHMETIC = {
    f"_operator.{name}": getattr(operator, name) for name in ("add", "sub", "mul", "floordiv")
}
"""Of sizes."""

_PLAIN = ("as_none", "as_int", "as_ints", "as_float", "as_floats", "as_string", "as_bool")
CPU = torch.device("cpu")
_IGNORED = ("as_layout", "as_memory_format")
"""Arguments as they are, and such as change no number."""


def _row(x: Tensor, *_: Value) -> int:
    return x.shape[-1]


def _window(x: Tensor, *_: Value) -> int:
    return 4 * x.shape[-2:].numel()


_WORK: dict[str, Callable[..., int]] = {
    "conv2d": lambda _, weight, *__: weight.shape[1:].numel(),
    "convolution": lambda _, weight, *__: weight.shape[1:].numel(),
    "linear": _row, "matmul": _row, "mm": _row, "bmm": _row,
    "addmm": lambda _, x, *__: x.shape[-1],
    "scaled_dot_product_attention": lambda x, *_: 4 * x.shape[-2:].numel(),
    "max_pool2d": _window, "max_pool2d_with_indices": _window, "avg_pool2d": _window,
    "adaptive_avg_pool2d": _window, "_adaptive_avg_pool2d": _window,
}  # fmt: skip


def _copied(over: Any, source: Any, *_: object) -> Tensor:
    """As PyTorch's `copy`, which has no derivative."""
    made: Tensor = source.to(over.dtype).expand(over.shape)
    return made


def _large(given: object) -> bool:
    """Whether an argument is or holds numbers with fractions, whose number is bounded elsewhere."""
    if isinstance(given, list | tuple):
        return any(map(_large, given))
    return isinstance(given, Tensor) and (given.is_floating_point() or given.is_meta)


def _unreal(given: Any) -> Any:
    """An argument whose tensors have sizes alone."""
    if isinstance(given, list | tuple):
        return [_unreal(one) for one in given]
    if isinstance(given, torch.device):
        return torch.device("meta")
    return given.to("meta") if isinstance(given, Tensor) else given


def current(name: str, renamed: Mapping[str, str]) -> str:
    """What a value is called after operations that overwrote it."""
    for _ in range(len(renamed)):
        if name not in renamed:
            break
        name = renamed[name]
    return name


class Call:
    """One call of an operation: which values go in, and where they stand among its arguments."""

    def __init__(self, node: Mapping[str, Any], renamed: Mapping[str, str]) -> None:
        self.target = str(node["target"])
        parts = self.target.split(".")
        self.name, self.overload = (parts[-2], parts[-1]) if len(parts) == 5 else ("", "")
        self.overwrites = self.name.endswith("_")
        self.renamed = renamed
        self.inputs: list[str] = []
        self.arguments: dict[str, Callable[..., object]] = {}
        self.values: dict[str, list[str]] = {}
        for one in node["inputs"]:
            if not set(one["arg"]) & {*_IGNORED}:
                before = len(self.inputs)
                self.arguments[str(one["name"])] = self.argument(one["arg"])
                self.values[str(one["name"])] = self.inputs[before:]
        self.positional = [str(one["name"]) for one in node["inputs"] if one.get("kind") == 1]
        self.outputs: list[str] = []
        for output in node["outputs"]:
            ((kind, about),) = output.items()
            several = about if isinstance(about, list) else [about]
            names = [
                one.get("name") or one.get("as_name") for one in several if isinstance(one, dict)
            ]
            self.outputs += [str(name or "") for name in names] or [""] * (kind != "as_none")

    @property
    def overwritten(self) -> str:
        """The value that it overwrites, if it does."""
        return self.inputs[0] if self.overwrites and self.inputs else ""

    def value(self, name: str) -> Callable[..., Value]:
        """What gives a value, of those that go in."""
        self.inputs.append(current(name, self.renamed))
        at = len(self.inputs) - 1
        return lambda values: values[at]

    def size(self, about: dict[str, Any]) -> Callable[..., object]:
        """What gives a size, which is a figure or a value."""
        if "as_int" in about:
            number = int(about["as_int"])
            return lambda values: number
        get = self.value(about["as_name"])

        def run(values: Sequence[Value]) -> object:
            found = get(values)
            return None if found is None else integers(found)[0]

        return run

    def argument(self, given: dict[str, Any]) -> Callable[..., object]:
        """What gives one argument when values are known."""
        ((kind, about),) = given.items()
        parts: list[Callable[..., object]]
        if kind == "as_tensor":
            return self.value(about["name"])
        if kind == "as_sym_int":
            return self.size(about)
        if kind in ("as_tensors", "as_sym_ints"):
            parts = [self.value(o["name"]) if kind == "as_tensors" else self.size(o) for o in about]
            return lambda values: [part(values) for part in parts]
        if kind == "as_scalar_type":
            if about not in TYPES:
                raise Refused(f"numbers of kind {about} are not read")
            wide = torch.float32 if TYPES[about].is_floating_point else TYPES[about]
            return lambda values: wide
        if kind == "as_device":
            # Where the values are, and not where the network was exported.
            return lambda values: next((o.device for o in values if isinstance(o, Tensor)), CPU)
        if kind in _PLAIN:
            # Infinity is a word.
            plain = float(about) if kind == "as_float" else None if kind == "as_none" else about
            return lambda values: plain
        raise Refused(f"an argument of kind {kind[:40]} is not read")

    def step(self, what: str, constants: dict[str, Tensor]) -> Step:
        """As the network runs it; sizes that stand as figures become constants."""
        if self.target in _ARITHMETIC:
            arithmetic, (left, right) = _ARITHMETIC[self.target], self.arguments.values()
            return Step(
                what=what, inputs=tuple(self.inputs), outputs=tuple(self.outputs),
                run=lambda *values: torch.tensor(arithmetic(left(values), right(values))),
            )  # fmt: skip
        name = self.name.rstrip("_") if self.overwrites else self.name
        if not self.target.startswith("torch.ops.aten.") or name not in _OPERATIONS:
            raise Refused(
                f"it is not read; of operations, agns reads {', '.join(sorted(_OPERATIONS))}"
            )
        for flag in ("train", "training"):
            if flag in self.arguments and self.arguments[flag](()):
                raise Refused("it trains: export the network after its eval()")
        arguments = self.arguments
        if name in _SIZED and len(self.inputs) == 1:
            (_, sizes), *_ = list(arguments.items())[1:]
            constants[own := f"sizes of {self.outputs[0]}"] = torch.tensor(sizes(()))
            set_sizes = Tensor.expand if name == "expand" else Tensor.reshape
            return Step(
                what=what, inputs=(self.inputs[0], own), outputs=tuple(self.outputs), reshapes=True,
                run=lambda x, sizes: set_sizes(x, integers(sizes)),
            )  # fmt: skip
        kinds = getattr(torch.ops.aten, "reshape" if name in ("view", "_unsafe_view") else name)
        # No other attribute of it; and none that writes to what it is given.
        if self.overload not in kinds.overloads():
            raise Refused(f"there is no {name}.{self.overload[:40]}")
        function = getattr(kinds, self.overload)
        if function._schema.is_mutable:
            raise Refused("it overwrites what it is given")
        positional, overwrites = self.positional, self.overwrites

        def run(*values: Value) -> Tensor | Sequence[Tensor]:
            given = {key: argument(values) for key, argument in arguments.items()}
            first = [given.pop(key) for key in positional if key in given]
            tensors = [one for one in (*first, *given.values()) if isinstance(one, Tensor)]
            if name in _SEVERAL and any(max(one.shape, default=0) > MOST_STEPS for one in tensors):
                raise Refused("it makes too many tensors")
            if not any(_large(one) for one in (*first, *given.values())):
                place = {"device": "meta"} if name in _MADE else {}
                apart = {key: _unreal(one) for key, one in given.items()} | place
                sizes = function(*map(_unreal, first), **apart)
                for one in sizes if isinstance(sizes, list | tuple) else [sizes]:
                    if isinstance(one, Tensor) and one.numel() > _MOST_MADE:
                        raise Refused(f"it makes more than {_MOST_MADE} numbers")
            made = _copied(*first) if name == "copy" else function(*first, **given)
            if isinstance(made, int):
                return torch.tensor(made)
            if overwrites and isinstance(made, Tensor) and isinstance(first[0], Tensor):
                # What is overwritten stays of its kind: comparisons give ones and zeros.
                made = made.to(first[0].dtype)
            found: Tensor | Sequence[Tensor] = made
            return found

        return Step(
            what=what, inputs=tuple(self.inputs), outputs=tuple(self.outputs), run=run,
            work=_WORK.get(name, lambda *_: 1),
        )  # fmt: skip

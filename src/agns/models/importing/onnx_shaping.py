"""ONNX's operations that set sizes, choose and rearrange."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from agns.models.importing.foreign_step import Refused, Run, Value, integers, within
from agns.models.importing.onnx_attributes import Attributes, along_axes, axes_of

_FLOATS, _INTEGERS, _TRUTH = (1, 10, 11, 16), (2, 3, 4, 5, 6, 7, 12, 13), 9
"""ONNX's codes of kinds of numbers."""


def _flatten(a: Attributes) -> Run:
    axis = a.get("axis", 1)

    def run(x: Tensor) -> Tensor:
        at = axis % x.ndim if axis < 0 else axis
        return x.reshape(x.shape[:at].numel(), -1)

    return run


def _reshape(a: Attributes) -> Run:
    copies = not a.get("allowzero", 0)

    def run(x: Tensor, sizes: Tensor) -> Tensor:
        wanted = integers(sizes)
        return x.reshape(
            [x.shape[n] if copies and size == 0 else size for n, size in enumerate(wanted)]
        )

    return run


def _unsqueeze(x: Tensor, axes: list[int]) -> Tensor:
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _slice(a: Attributes) -> Run:
    own = a.integers("starts"), a.integers("ends"), a.integers("axes")

    def run(
        x: Tensor, starts: Value = None, ends: Value = None, axes: Value = None,
        steps: Value = None,
    ) -> Tensor:  # fmt: skip
        if starts is None or ends is None:
            first, last, along = own[0] or [], own[1] or [], own[2]
        else:
            first, last = integers(starts), integers(ends)
            along = None if axes is None else integers(axes)
        along = axes_of(range(len(first)) if along is None else along, x)
        pace = [1] * len(first) if steps is None else integers(steps)
        for start, end, axis, step in zip(first, last, along, pace, strict=True):
            if step < 1:
                places = range(x.shape[axis])[start:end:step]
                x = x.index_select(axis, torch.tensor(list(places), device=x.device))
            else:
                x = x[(slice(None),) * axis + (slice(start, end, step),)]
        return x

    return run


def _gather(a: Attributes) -> Run:
    axis = a.get("axis", 0)

    def run(x: Tensor, places: Tensor) -> Tensor:
        at = axes_of([axis], x)[0]
        size = x.shape[at]
        flat = places.reshape(-1).to(x.device)
        made = x.index_select(at, torch.where(flat < 0, flat + size, flat))
        return made.reshape([*x.shape[:at], *places.shape, *x.shape[at + 1 :]])

    return run


def _split(a: Attributes) -> Run:
    axis, own, count = a.get("axis", 0), a.integers("split"), a.get("num_outputs", 1)

    def run(x: Tensor, sizes: Value = None) -> Sequence[Tensor]:
        at = axes_of([axis], x)[0]
        parts = own if sizes is None else integers(sizes)
        found: Sequence[Tensor] = x.split(parts or -(-x.shape[at] // count), at)
        return found

    return run


def _pad(a: Attributes) -> Run:
    mode, own, fill = a.get("mode", "constant"), a.integers("pads"), a.get("value", 0.0)

    def run(x: Tensor, pads: Value = None, value: Value = None, axes: Value = None) -> Tensor:
        given = own or [] if pads is None else integers(pads)
        along = axes_of(range(x.ndim) if axes is None else integers(axes), x)
        if len(given) != 2 * len(along):
            raise Refused(f"{given} should pad {len(along)} axes")
        pairs = [(0, 0)] * x.ndim
        for n, axis in enumerate(along):
            pairs[axis] = given[n], given[n + len(along)]
        within(max(size + sum(pair), 0) for size, pair in zip(x.shape, pairs, strict=True))
        while mode != "constant" and len(pairs) > 2 and pairs[0] == (0, 0):
            # PyTorch mirrors the last axes alone.
            del pairs[0]
        widths = [width for pair in reversed(pairs) for width in pair]
        kind = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}.get(mode)
        if kind is None or (kind != "constant" and len(pairs) > 2):
            raise Refused(f"padding {given} by {mode} is not read")
        constant = fill if value is None else float(value)
        if kind == "constant":
            return F.pad(x, widths, value=constant)
        return F.pad(x, widths, mode=kind)

    return run


_BETWEEN = ("half_pixel", "pytorch_half_pixel", "align_corners")
"""Coordinates of which PyTorch's linear resizing has the same."""

_NEAR = 1e-3
"""How far a scaled size may be from a whole number of pixels."""

_ROUND = ("round_prefer_floor", "round_prefer_ceil")
_NEAREST = {
    "half_pixel": _ROUND, "pytorch_half_pixel": _ROUND, "half_pixel_symmetric": _ROUND,
    "asymmetric": ("floor",), "tf_half_pixel_for_nn": ("floor",),
}  # fmt: skip
"""Of coordinates, the roundings that repeat each pixel a whole number of times."""


def _resize(a: Attributes) -> Run:
    mode = a.get("mode", "nearest")
    where = a.get("coordinate_transformation_mode", "asymmetric" if a.opset < 11 else "half_pixel")
    rounding = a.get("nearest_mode", "floor" if a.opset < 11 else "round_prefer_floor")
    a.ignore("cubic_coeff_a", "extrapolation_value")
    a.expect(antialias=0, exclude_outside=0, keep_aspect_ratio_policy="stretch")

    def run(x: Tensor, *more: Value) -> Tensor:
        # Earlier: scales; since set 11: region, scales, sizes.
        scales, sizes = (more[0], None) if len(more) == 1 else (*more[1:], None)[:2]
        if sizes is not None and sizes.numel():
            wanted = integers(sizes)
        elif scales is not None and scales.numel():
            # Scales are 32-bit numbers: 4 / 3 is not exact.
            exact = [n * float(s) for n, s in zip(x.shape, scales.tolist(), strict=True)]
            wanted = [round(n) for n in exact]
            if max(abs(n - m) for n, m in zip(exact, wanted, strict=True)) > _NEAR:
                raise Refused(f"scales that make {exact} of {tuple(x.shape)} are not read")
        else:
            raise Refused("it has neither scales nor sizes")
        if x.ndim != 4 or len(wanted) != 4 or wanted[1] != x.shape[1] or min(wanted) < 1:
            raise Refused(f"{tuple(x.shape)} is not resized to {wanted}, only height and width are")
        size = within((len(x), *wanted[1:]))[2:]
        if (
            mode == "linear"
            and where in _BETWEEN
            and (where != "pytorch_half_pixel" or 1 not in size)
        ):
            corners = where == "align_corners"
            return F.interpolate(x, size, mode="bilinear", align_corners=corners)
        whole = all(new % old == 0 for new, old in zip(size, x.shape[2:], strict=True))
        if mode == "nearest" and whole and rounding in _NEAREST.get(where, ()):
            return F.interpolate(x, size, mode="nearest")
        how = f"{mode}, {where}, {rounding}, from {tuple(x.shape[2:])} to {size}"
        raise Refused(f"resizing by {how} is not read")

    return run


def _constant(a: Attributes) -> Run:
    value = a.tensor("value")
    if value is None:
        kinds = {"value_float": torch.float32, "value_int": torch.int64}
        for name, kind in (*kinds.items(), *((f"{name}s", kind) for name, kind in kinds.items())):
            if name in a.given:
                a.ignore(name)
                value = torch.tensor(a.given[name], dtype=kind)
    if value is None:
        raise Refused("it has no numbers")
    made = value
    return lambda: made


def _filled(a: Attributes) -> Run:
    value = a.tensor("value")
    fill = torch.zeros(1) if value is None else value

    def run(sizes: Tensor) -> Tensor:
        return fill.flatten()[0].expand(within(integers(sizes))).clone()

    return run


def _expand(x: Tensor, sizes: Tensor) -> Tensor:
    return x.expand(within(torch.broadcast_shapes(x.shape, tuple(integers(sizes)))))


def _tile(x: Tensor, times: Tensor) -> Tensor:
    counts = integers(times)
    within(n * count for n, count in zip(x.shape, counts, strict=True))
    return x.repeat(counts)


def _shape(a: Attributes) -> Run:
    start, end = a.get("start", 0), a.get("end", 1 << 30)
    return lambda x: torch.tensor(x.shape[start:end], dtype=torch.int64)


def _range(start: Tensor, end: Tensor, step: Tensor) -> Tensor:
    (first,), (last,), (pace,) = integers(start), integers(end), integers(step)
    within([len(range(first, last, pace))])
    return torch.arange(first, last, pace)


def _cast(a: Attributes) -> Run:
    to = a.get("to", 1)
    a.ignore("saturate", "round_mode")
    if to in _FLOATS:
        return lambda x: x if x.is_floating_point() else x.float()
    if to in _INTEGERS:
        return lambda x: x.long()
    if to == _TRUTH:
        return lambda x: x.bool()
    raise Refused(f"numbers of kind {to} are not read")


def _transposed(a: Attributes) -> Run:
    order = a.integers("perm")
    return lambda x: x.permute(list(reversed(range(x.ndim))) if order is None else order)


def _concat(a: Attributes) -> Run:
    axis = a.get("axis", 1)
    return lambda *some: torch.cat(some, axes_of([axis], some[0])[0])


def _squeeze(x: Tensor, axes: list[int]) -> Tensor:
    return x.squeeze(axes_of(axes, x)) if axes else x.squeeze()


SHAPING: dict[str, Callable[[Attributes], Run]] = {
    "Cast": _cast, "Concat": _concat, "Constant": _constant, "ConstantOfShape": _filled,
    "Expand": lambda _: _expand, "Flatten": _flatten, "Gather": _gather, "Pad": _pad,
    "Range": lambda _: _range, "Reshape": _reshape, "Resize": _resize, "Shape": _shape,
    "Slice": _slice, "Split": _split, "Squeeze": lambda a: along_axes(a, _squeeze),
    "Tile": lambda _: _tile, "Transpose": _transposed,
    "Unsqueeze": lambda a: along_axes(a, _unsqueeze), "Upsample": _resize,
}  # fmt: skip
"""How each is built, by its name."""

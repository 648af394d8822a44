"""Tiny networks written by the schema's own builders, against LiteRT where it is installed."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType

import flatbuffers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from agns.errors import WeightsError
from agns.models.importing.tflite_network import read_tflite

tflite = pytest.importorskip("tflite")

Array = np.ndarray
Settings = dict[str, object]
TYPES = MappingProxyType({"float32": 0, "float16": 1, "int32": 2, "int8": 9})
SAME, RELU6 = 0, 3
"""By the schema's codes."""


class Writer:
    """Collects tensors and operations of a network, and writes its file."""

    def __init__(self, *shape: int) -> None:
        self.tensors: list[tuple[tuple[int, ...], str, Array | None]] = []
        self.operators: list[tuple[str, str, Settings, Sequence[int], int]] = []
        self.given = self.value(shape)
        self.random = np.random.default_rng(0)

    def value(self, shape: Sequence[int], kind: str = "float32") -> int:
        self.tensors.append((tuple(shape), kind, None))
        return len(self.tensors) - 1

    def constant(self, array: Array) -> int:
        self.tensors.append((array.shape, str(array.dtype), array))
        return len(self.tensors) - 1

    def drawn(self, *shape: int) -> int:
        return self.constant(self.random.normal(size=shape).astype(np.float32) / 2)

    def integers(self, *numbers: object) -> int:
        return self.constant(np.array(numbers, np.int32))

    def add(
        self, kind: str, inputs: Sequence[int], shape: Sequence[int], options: str = "",
        **settings: object,
    ) -> int:  # fmt: skip
        out = self.value(shape)
        self.operators.append((kind, options, settings, inputs, out))
        return out

    def write(self, path: Path) -> Path:
        b = flatbuffers.Builder()

        def vector(items: Sequence[int], *, offsets: bool = True) -> int:
            b.StartVector(4, len(items), 4)
            for item in reversed(items):
                (b.PrependUOffsetTRelative if offsets else b.PrependInt32)(item)
            return b.EndVector()

        def table(name: str, **fields: object) -> int:
            made = {key: one for key, one in fields.items() if one is not None}
            getattr(tflite, f"{name}Start")(b)
            for key, one in made.items():
                getattr(tflite, f"{name}Add{key}")(b, one)
            return getattr(tflite, f"{name}End")(b)

        def options(kind: str, settings: Settings) -> int:
            own = {
                key: vector(one, offsets=False) if isinstance(one, tuple) else one
                for key, one in settings.items()
            }
            return table(kind, **own)

        buffers, tensors = [table("Buffer")], []
        for number, (shape, kind, array) in enumerate(self.tensors):
            if array is not None:
                data = b.CreateByteVector(array.tobytes())
                buffers.append(table("Buffer", Data=data))
            name, sizes = b.CreateString(f"t{number}"), vector(shape, offsets=False)
            at = 0 if array is None else len(buffers) - 1
            tensors.append(("Tensor", sizes, TYPES[kind], at, name))
        written = []
        for _, sizes, kind, at, name in tensors:
            tflite.TensorStart(b)
            tflite.TensorAddShape(b, sizes)
            tflite.TensorAddType(b, kind)
            tflite.TensorAddBuffer(b, at)
            tflite.TensorAddName(b, name)
            written.append(b.EndObject())
        codes, operators = [], []
        for kind, _, _, _, _ in self.operators:
            code = getattr(tflite.BuiltinOperator, kind)
            low = min(code, 127)
            fields = {"BuiltinCode": code, "DeprecatedBuiltinCode": low, "Version": 1}
            codes.append(table("OperatorCode", **fields))
        for number, (_, named, settings, inputs, out) in enumerate(self.operators):
            own = options(named, settings) if named else None
            ins, outs = vector(inputs, offsets=False), vector([out], offsets=False)
            tflite.OperatorStart(b)
            tflite.OperatorAddOpcodeIndex(b, number)
            tflite.OperatorAddInputs(b, ins)
            tflite.OperatorAddOutputs(b, outs)
            if own is not None:
                tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, named))
                tflite.OperatorAddBuiltinOptions(b, own)
            operators.append(b.EndObject())
        lists = [vector(some) for some in (written, operators)]
        ends = [vector(some, offsets=False) for some in ([self.given], [len(self.tensors) - 1])]
        graph = table(
            "SubGraph", Tensors=lists[0], Inputs=ends[0], Outputs=ends[1], Operators=lists[1]
        )
        codes_, graphs, buffers_ = vector(codes), vector([graph]), vector(buffers)
        model = table("Model", Version=3, OperatorCodes=codes_, Subgraphs=graphs, Buffers=buffers_)
        b.Finish(model, b"TFL3")
        path.write_bytes(bytes(b.Output()))
        return path


def small(path: Path, batch: int = 1) -> Path:
    """A network with most that face networks have."""
    w = Writer(batch, 9, 9, 3)
    window = {
        "StrideH": 2,
        "StrideW": 2,
        "Padding": SAME,
        "DilationHFactor": 1,
        "DilationWFactor": 1,
    }
    x = w.add(
        "CONV_2D", [w.given, w.drawn(8, 4, 4, 3), w.drawn(8)], (batch, 5, 5, 8), "Conv2DOptions",
        FusedActivationFunction=RELU6, **window,
    )  # fmt: skip
    x = w.add(
        "DEPTHWISE_CONV_2D", [x, w.drawn(1, 3, 3, 16), w.drawn(16)], (batch, 3, 3, 16),
        "DepthwiseConv2DOptions", DepthMultiplier=2, **window,
    )  # fmt: skip
    x = w.add("PRELU", [x, w.drawn(1, 1, 16)], (batch, 3, 3, 16))
    pool = {"StrideH": 1, "StrideW": 1, "FilterHeight": 2, "FilterWidth": 2, "Padding": SAME}
    y = w.add("AVERAGE_POOL_2D", [x], (batch, 3, 3, 16), "Pool2DOptions", **pool)
    z = w.add("MAX_POOL_2D", [x], (batch, 3, 3, 16), "Pool2DOptions", **pool)
    x = w.add("SUB", [y, z], (batch, 3, 3, 16), "SubOptions", FusedActivationFunction=0)
    x = w.add("MUL", [x, w.drawn(16)], (batch, 3, 3, 16), "MulOptions")
    x = w.add(
        "PAD", [x, w.integers([0, 0], [1, 0], [0, 1], [0, 0])], (batch, 4, 4, 16), "PadOptions"
    )
    x = w.add("CONCATENATION", [x, x], (batch, 4, 4, 32), "ConcatenationOptions", Axis=3)
    x = w.add("LEAKY_RELU", [x], (batch, 4, 4, 32), "LeakyReluOptions", Alpha=0.2)
    x = w.add("MEAN", [x, w.integers(1, 2)], (batch, 32), "ReducerOptions", KeepDims=False)
    x = w.add("RESHAPE", [x, w.integers(batch, 4, 8)], (batch, 4, 8))
    x = w.add("RESHAPE", [x], (batch, 32), "ReshapeOptions", NewShape=(batch, 32))
    x = w.add(
        "FULLY_CONNECTED", [x, w.drawn(6, 32), w.drawn(6)], (batch, 6), "FullyConnectedOptions"
    )
    w.add("L2_NORMALIZATION", [x], (batch, 6), "L2NormOptions")
    return w.write(path)


def by_its_runtime(path: Path, pictures: Tensor) -> Tensor:
    """LiteRT's answers, photo by photo."""
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    runtime = litert.Interpreter(str(path))
    runtime.allocate_tensors()
    (given,), (answer,) = runtime.get_input_details(), runtime.get_output_details()
    found = []
    for picture in pictures.permute(0, 2, 3, 1).numpy():
        runtime.set_tensor(given["index"], np.repeat(picture[None], given["shape"][0], axis=0))
        runtime.invoke()
        found.append(runtime.get_tensor(answer["index"])[0].copy())
    return torch.tensor(np.array(found))


@pytest.mark.parametrize("batch", [1, 2])
def test_a_small_network_answers_as_its_own_runtime_does(
    batch: int, tmp_path: Path, generator: torch.Generator
) -> None:
    path = small(tmp_path / "small.tflite", batch)
    pictures = 2 * torch.rand(5, 3, 9, 9, generator=generator) - 1
    mine = read_tflite(path)(pictures)
    torch.testing.assert_close(mine, by_its_runtime(path, pictures), atol=1e-6, rtol=0)


def test_gradients_are_those_of_finite_differences(
    tmp_path: Path, generator: torch.Generator
) -> None:
    network = read_tflite(small(tmp_path / "small.tflite")).double()
    pictures = torch.rand(2, 3, 9, 9, generator=generator, dtype=torch.float64)
    step = torch.randn(pictures.shape, generator=generator, dtype=torch.float64) * 1e-6
    pictures.requires_grad_()
    answers = [network(pictures + sign * step).square() for sign in (0, 1, -1)]
    weights = torch.randn(answers[0].shape, generator=generator).double()
    (gradient,) = torch.autograd.grad((answers[0] * weights).sum(), pictures)
    difference = ((answers[1] - answers[2]) * weights).sum().detach() / 2
    assert float((gradient * step).sum()) == pytest.approx(float(difference), rel=1e-4)


def test_prelu_written_out_by_earlier_converters_is_one_step(tmp_path: Path) -> None:
    w = Writer(1, 2, 2, 3)
    slope = w.constant(np.array([0.1, 0.2, -0.3], np.float32))
    shape = (1, 2, 2, 3)
    low = w.add("SUB", [w.given, w.add("ABS", [w.given], shape)], shape, "SubOptions")
    high = w.add("RELU", [w.given], shape)
    low = w.add("MUL", [slope, low], shape, "MulOptions")
    w.add("ADD", [high, low], shape, "AddOptions")
    network = read_tflite(w.write(tmp_path / "prelu.tflite"))
    pictures = torch.linspace(-1, 1, 24).reshape(2, 3, 2, 2)
    expected = F.prelu(pictures, torch.tensor([0.2, 0.4, -0.6]))
    assert torch.equal(network(pictures), expected.permute(0, 2, 3, 1).flatten(1))
    assert len(network._steps) == 1


def test_halves_are_read_as_32_bit_numbers(tmp_path: Path) -> None:
    w = Writer(1, 2, 2, 3)
    half = w.constant(np.array([0.5, 2, 3], np.float16))
    w.add("MUL", [w.given, w.add("DEQUANTIZE", [half], (3,))], (1, 2, 2, 3), "MulOptions")
    network = read_tflite(w.write(tmp_path / "half.tflite"))
    ones = torch.ones(1, 3, 2, 2)
    assert network(ones)[0, :3].tolist() == [0.5, 2, 3]


def test_casts_cut_fractions_off_and_small_numbers_are_normalized(tmp_path: Path) -> None:
    w = Writer(1, 2, 2, 3)
    x = w.add(
        "MUL", [w.given, w.constant(np.full((1,), 3, np.float32))], (1, 2, 2, 3), "MulOptions"
    )
    out = w.value((1, 2, 2, 3), "int32")
    w.operators.append(("CAST", "CastOptions", {"InDataType": 0, "OutDataType": 2}, [x], out))
    x = w.add("CAST", [out], (1, 2, 2, 3), "CastOptions", InDataType=2, OutDataType=0)
    small = w.constant(np.full((1,), 1e-5, np.float32))
    x = w.add("MUL", [x, small], (1, 2, 2, 3), "MulOptions")
    w.add("L2_NORMALIZATION", [x], (1, 2, 2, 3), "L2NormOptions")
    pictures = torch.tensor([0.9, -0.9, 0.5]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    answers = read_tflite(w.write(tmp_path / "cast.tflite"))(pictures)
    # 2.7, -2.7 and 1.5 are cut to these.
    expected = F.normalize(torch.tensor([[2.0, -2.0, 1.0]])).repeat(1, 4)
    torch.testing.assert_close(answers, expected)


def refused(w: Writer, path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        read_tflite(w.write(path))
    return str(caught.value).replace(str(path), "F")


def test_what_cannot_be_read_is_told_in_words(tmp_path: Path) -> None:
    path, shape = tmp_path / "refused.tflite", (1, 2, 2, 3)
    w = Writer(*shape)
    w.add("COS", [w.given], shape)
    assert refused(w, path).startswith(
        "F: COS 't1' is not read; of operations, agns reads CONV_2D, "
    )
    w = Writer(*shape)
    w.add("MUL", [w.given, w.constant(np.ones(3, np.int8))], shape, "MulOptions")
    assert "F: 't1' is quantised or sparse" in refused(w, path)
    w = Writer(1, 2, 2, 4)
    w.add("ABS", [w.given], shape)
    assert "takes (1, 2, 2, 4), expected (batch, height, width, 3)" in refused(w, path)
    w = Writer(*shape)
    w.add("ADD", [w.given, w.drawn(5)], shape, "AddOptions")
    assert "F: ADD 't2': " in refused(w, path)
    w = Writer(*shape)
    w.add("ADD", [w.given, w.given], shape, "AddOptions", FusedActivationFunction=5)
    assert refused(w, path) == "F: ADD 't1': activation 5 is not read"
    w = Writer(*shape)
    w.add("PAD", [w.given, w.integers(*[[0, 1 << 30]] * 4)], shape, "PadOptions")
    assert "larger than anything that a face network needs" in refused(w, path)
    w = Writer(*shape)
    w.add("MEAN", [w.given, w.integers(0, 1)], (2, 3), "ReducerOptions")
    assert "'2' should hold numbers for each photo, and is (2, 3)" in refused(w, path)


def test_a_network_that_mixes_the_photos_of_its_batch_is_refused(tmp_path: Path) -> None:
    w = Writer(2, 2, 2, 3)
    mean = w.add("MEAN", [w.given, w.integers(0)], (1, 2, 2, 3), "ReducerOptions", KeepDims=True)
    w.add("SUB", [w.given, mean], (2, 2, 2, 3), "SubOptions")
    assert "is made for 2 photos at once" in refused(w, tmp_path / "mixes.tflite")


def test_a_network_for_one_photo_that_takes_no_more_runs_photo_by_photo(tmp_path: Path) -> None:
    w = Writer(1, 2, 2, 3)
    turned = w.add("TRANSPOSE", [w.given, w.integers(3, 1, 2, 0)], (3, 2, 2, 1), "TransposeOptions")
    w.add("RESHAPE", [turned, w.integers(1, 12)], (1, 12))
    network = read_tflite(w.write(tmp_path / "one.tflite"))
    pictures = torch.arange(24.0).reshape(2, 3, 2, 2)
    assert torch.equal(network(pictures), pictures.flatten(1))


def test_damage_ends_in_a_sentence(tmp_path: Path) -> None:
    whole = small(tmp_path / "small.tflite").read_bytes()
    damaged = tmp_path / "damaged.tflite"
    dice, refusals = random.Random(0), 0
    for _ in range(60):
        content = bytearray(whole)
        if dice.random() < 0.2:
            del content[dice.randrange(len(content)) :]
        for _ in range(dice.choice([1, 2, 8, 64])):
            if content:
                content[dice.randrange(len(content))] = dice.choice([0, 127, 128, 255])
        damaged.write_bytes(content)
        try:
            read_tflite(damaged)
        except WeightsError:
            refusals += 1
    assert refusals > 20


def test_mobile_face_net_embeds_as_its_own_runtime_does(
    data_path: Callable[[str], Path], generator: torch.Generator
) -> None:
    path = data_path("models/MobileFaceNet.tflite")
    chips = 2 * torch.rand(3, 3, 112, 112, generator=generator) - 1
    mine, theirs = (
        F.normalize(one) for one in (read_tflite(path)(chips), by_its_runtime(path, chips))
    )
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=0)

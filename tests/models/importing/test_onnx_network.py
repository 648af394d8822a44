"""Tiny networks against ONNX's own reference evaluator, which shares no code with ours."""

import random
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from agns.errors import ConfigError, WeightsError
from agns.models.importing import onnx_operations
from agns.models.importing.onnx_network import read_onnx

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnx.reference")

Array = np.ndarray


def drawn(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def i64(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


def f32(*numbers: float) -> Array:
    return np.array(numbers, np.float32)


def write(
    path: Path, text: str, opset: int = 17, shape: str = "1, 3, 6, 6", **weights: Array
) -> Path:
    """A network from x to y, in ONNX's own words."""
    graph = onnx.parser.parse_graph(f"network (float[{shape}] x) => (float y) {{ {text} }}")
    graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in weights.items()
    )
    opsets = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def by_reference(path: Path, pictures: torch.Tensor) -> torch.Tensor:
    """Answers photo by photo."""
    evaluator = onnx.reference.ReferenceEvaluator(str(path))
    found = [evaluator.run(None, {"x": one.numpy()})[0] for one in pictures.split(1)]
    return torch.from_numpy(np.array(found, np.float32)).flatten(1)


def face_network(path: Path, opset: int, batch: int | str = 1) -> Path:
    """What most face networks have, written as one of ONNX's operator sets asks for."""
    early = opset < 13
    squeeze, unsqueeze = (
        f"{kind} <axes = [2, 3]> ({name})" if early else f"{kind} ({name}, axes)"
        for kind, name in (("Squeeze", "g"), ("Unsqueeze", "t"))
    )
    text = f"""
        c1 = Conv <strides = [2, 2], pads = [1, 1, 1, 1], kernel_shape = [3, 3]> (x, w1, b1)
        n1 = BatchNormalization <epsilon = 0.001> (c1, s, b, m, v)
        p1 = PRelu (n1, slope)
        c2 = Conv <group = 4, auto_pad = "SAME_LOWER"> (p1, w2)
        k2 = Clip (c2, low, high)
        a2 = Add (k2, p1)
        g = GlobalAveragePool (a2)
        q = {squeeze}
        h = Gemm <transB = 1> (q, w3)
        r = Relu (h)
        t = MatMul (r, w4)
        u = {unsqueeze}
        e = Sigmoid (u)
        scaled = Mul (a2, e)
        mp = MaxPool <kernel_shape = [2, 2]> (scaled)
        ap = AveragePool <kernel_shape = [2, 2]> (scaled)
        cat = Concat <axis = 1> (mp, ap)
        moved = Transpose <perm = [0, 2, 3, 1]> (cat)
        flat = Reshape (moved, sizes)
        dropped = Dropout (flat)
        embedded = Gemm <alpha = 0.5> (dropped, w5, b5)
        y = LpNormalization <axis = 1> (embedded)
    """
    return write(
        path, text, opset, f"{batch}, 3, 6, 6",
        w1=drawn(8, 3, 3, 3) / 3, b1=drawn(8), s=drawn(8), b=drawn(8), m=drawn(8),
        v=drawn(8) ** 2 + 0.1, slope=drawn(8, 1, 1), w2=drawn(8, 2, 2, 2),
        low=np.array(-0.5, np.float32), high=np.array(0.5, np.float32), axes=i64(2, 3),
        w3=drawn(4, 8), w4=drawn(4, 8), sizes=i64(1 if batch == 1 else -1, 64),
        w5=drawn(64, 5) / 8, b5=drawn(1, 5),
    )  # fmt: skip


@pytest.mark.parametrize(("opset", "batch"), [(11, "N"), (13, 1), (17, "N"), (21, 1)])
def test_a_face_network_answers_as_the_reference_does(
    opset: int, batch: int | str, tmp_path: Path, generator: torch.Generator
) -> None:
    pictures = 2 * torch.rand(4, 3, 6, 6, generator=generator) - 1
    network = read_onnx(face_network(tmp_path / "face.onnx", opset, batch))
    # Of earlier sets, the reference has another BatchNormalization.
    theirs = by_reference(face_network(tmp_path / "same.onnx", max(opset, 17)), pictures)
    torch.testing.assert_close(network(pictures), theirs, atol=1e-6, rtol=0)


def test_the_comparison_with_onnxruntime_is_on_record(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    network = read_onnx(face_network(tmp_path / "face.onnx", 17))
    found = re.fullmatch(
        r"differs from onnxruntime \S+ by at most (\S+) of the largest number", network.checked
    )
    assert found is not None
    assert float(found[1]) < 1e-5


def test_a_network_that_onnxruntime_computes_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setitem(onnx_operations._PLAIN, "Relu", torch.abs)
    with pytest.raises(WeightsError, match="computes something else than onnxruntime"):
        read_onnx(write(tmp_path / "relu.onnx", "y = Relu (x)"))


def test_without_onnxruntime_it_is_said_that_nothing_was_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    network = read_onnx(face_network(tmp_path / "face.onnx", 17))
    assert network.checked == "not compared with onnxruntime, which is not installed"


def test_gradients_are_those_of_finite_differences(
    tmp_path: Path, generator: torch.Generator
) -> None:
    network = read_onnx(face_network(tmp_path / "face.onnx", 17)).double()
    pictures = torch.rand(2, 3, 6, 6, generator=generator, dtype=torch.float64)
    step = torch.randn(pictures.shape, generator=generator, dtype=torch.float64) * 1e-6
    pictures.requires_grad_()
    answers = [network(pictures + sign * step).pow(3).sum() for sign in (0, 1, -1)]
    (gradient,) = torch.autograd.grad(answers[0], pictures)
    difference = float((answers[1] - answers[2]).detach()) / 2
    assert float((gradient * step).sum()) == pytest.approx(difference, rel=1e-4)


WEIGHTS = {
    "line": drawn(6), "kernel": drawn(2, 3, 3, 2), "tenth": f32(0.1), "two": f32(2), "six": i64(6),
    "zero": np.array(0), "ones": i64(-1), "first": i64(1), "zeros": i64(0), "most": np.array(6),
    "step": np.array(1), "some": i64(-1, 0), "triple": i64(3, 6, 6), "taller": i64(1, 1, 2, 1),
    "starts": i64(-1, 0), "ends": i64(-9, 5), "axes": i64(2, 3), "steps": i64(-2, 2),
    "widths": i64(0, 1, 0, 0, 0, 0, 2, 1), "sides": i64(1, 2), "three": np.array(3, np.float32),
    "scales": f32(1, 1, 2, 1.5), "sizes": i64(1, 3, 12, 18), "part": i64(0, 3, -1),
    "row": i64(1, 108),
}  # fmt: skip
OPERATIONS = (
    "Abs (x)", "Elu <alpha = 0.7> (x)", "Exp (x)", "Erf (x)", "Floor (x)", "Ceil (x)",
    "HardSigmoid (x)", "HardSwish (x)", "Identity (x)", "LeakyRelu (x)", "Neg (x)", "18: Mish (x)",
    "Softplus (x)", "Tanh (x)", "GlobalMaxPool (x)", "Flatten (x)", "Softmax (x)",
    "LogSoftmax <axis = 1> (x)", "LpNormalization <axis = 1> (x)",
    "ReduceMax <axes = [1]> (x)", "ReduceMean <axes = [2, 3], keepdims = 0> (x)",
    "ReduceMin <axes = [-1]> (x)", "ReduceL2 <axes = [1]> (x)", "ReduceSumSquare <axes = [1]> (x)",
    "10: Clip <min = -0.2, max = 0.3> (x)",
    '20: Gelu <approximate = "tanh"> (x)', "Pad (x, widths, three)",
    '10: Pad <pads = [0, 0, 1, 0, 0, 0, 0, 2], mode = "reflect"> (x)',
    '18: Pad <mode = "edge"> (x, sides, , ones)', "18: ReduceMean (x, first)",
    "ReduceSum <keepdims = 0> (x, ones)",
    "MaxPool <kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1> (x)",
    "AveragePool <kernel_shape = [3, 2], strides = [2, 1], pads = [1, 0, 0, 1]> (x)",
    "AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (x)",
    "Conv <dilations = [2, 1], pads = [1, 0, 2, 0]> (x, kernel)",
    "LayerNormalization (x, line, line)", "Slice (x, starts, ends, axes, steps)",
    "9: Slice <starts = [1], ends = [9], axes = [1]> (x)",
    "13: Sub (a, b) a, b = Split <axis = 3> (x)", "Gather <axis = 1> (x, some)",
    "Add (x, e) e = Expand (line, triple)", "Tile (x, taller)",
    "Where (g, x, tenth) g = Greater (x, tenth)", "Max (x, line, tenth)", "Min (x, line)",
    "Sum (p, r) p = Pow (x, two) q = Sqrt (p) r = Div (q, two)",
    'Resize <mode = "linear"> (x, , scales)',
    """Resize <coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">
        (x, , , sizes)""",
    """Reshape (x, wanted) s = Shape (x) n = Gather (s, zero) b = Unsqueeze (n, zeros)
        wanted = Concat <axis = 0> (b, ones)""",
    """Mul (x, f) c = ConstantOfShape <value = float[1] {2}> (six) d = Cast <to = 10> (c)
        f = Cast <to = 1> (d)""",
    "Reshape (x, part)", "Add (x, f) r = Range (zero, most, step) f = Cast <to = 1> (r)",
    "Reshape (t, row) t = Transpose <perm = [1, 0, 2, 3]> (x)",
)  # fmt: skip
"""What y is, and what it is made of; some in an operator set of their own."""


@pytest.mark.parametrize("text", OPERATIONS)
def test_an_operation_answers_as_the_reference_does(
    text: str, tmp_path: Path, generator: torch.Generator
) -> None:
    opset, text = text.split(": ") if text[:2].strip(":").isdigit() else ("17", text)
    y, *others = re.split(r"\s+(?=(?:\w, )?\w+ = [A-Z]\w+ )", text)
    path = write(tmp_path / "one.onnx", "\n".join([*others, f"y = {y}"]), int(opset), **WEIGHTS)
    pictures = 2 * torch.rand(2, 3, 6, 6, generator=generator) - 1
    torch.testing.assert_close(
        read_onnx(path)(pictures), by_reference(path, pictures), atol=2e-6, rtol=1e-5
    )


def test_softmax_of_earlier_operator_sets_takes_all_axes_from_one_on(tmp_path: Path) -> None:
    path = write(tmp_path / "softmax.onnx", "y = Softmax (x)", opset=11)
    pictures = torch.linspace(-1, 1, 216).reshape(2, 3, 6, 6)
    torch.testing.assert_close(read_onnx(path)(pictures), pictures.flatten(1).softmax(1))


def test_channels_last_and_open_sizes_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "keras.onnx", "y = Relu (x)", shape="N, 4, 5, 3")
    pictures = torch.arange(120.0).reshape(2, 3, 4, 5)
    assert torch.equal(read_onnx(path)(pictures), pictures.permute(0, 2, 3, 1).flatten(1))
    path = write(tmp_path / "open.onnx", "y = Relu (x)", shape="N, 3, h, w")
    assert read_onnx(path, 7).size == (7, 7)
    with pytest.raises(ConfigError, match="leaves the size of its pictures open"):
        read_onnx(path)


def test_weights_beside_the_file_are_read_from_its_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = face_network(tmp_path / "in" / "face.onnx", 17)
    expected = read_onnx(path)(torch.ones(1, 3, 6, 6))
    model = onnx.load(path)
    onnx.save_model(
        model, path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    assert torch.equal(read_onnx(path)(torch.ones(1, 3, 6, 6)), expected)

    weights = path.with_name("weights.bin")
    content = weights.read_bytes()
    weights.rename(weights.with_name("away.bin"))
    with pytest.raises(WeightsError, match=r" lies beside it, and there is no \S+weights\.bin$"):
        read_onnx(path)
    weights.write_bytes(content[:100])
    with pytest.raises(WeightsError, match=" lies beside it, and "):
        read_onnx(path)
    (tmp_path / "weights.bin").write_bytes(content)
    for away in ("../weights.bin", str(tmp_path / "weights.bin")):
        model = onnx.load(path, load_external_data=False)
        for tensor in model.graph.initializer:
            tensor.external_data[0].value = away
        path.write_bytes(model.SerializeToString())
        with pytest.raises(WeightsError, match="lies beside it, and "):
            read_onnx(path)


def test_weights_beside_the_file_are_counted_however_their_file_is_spelt(tmp_path: Path) -> None:
    path = write(tmp_path / "spelt.onnx", "z = Add (x, one) y = Add (z, two)")
    model, numbers = onnx.load(path), drawn(1, 3, 6, 6)
    (tmp_path / "w.bin").write_bytes(numbers.tobytes())
    for name, spelt in (("one", "w.bin"), ("two", "./w.bin")):
        tensor = onnx.numpy_helper.from_array(numbers, name)
        onnx.external_data_helper.set_external_data(tensor, spelt, length=numbers.nbytes)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        model.graph.initializer.append(tensor)
    path.write_bytes(model.SerializeToString())
    assert "'./w.bin' holds less than is read from it" in refused(path)


@pytest.mark.parametrize(
    "text",
    [
        "d, mask = Dropout (x) y = Relu (d)",
        "y, places = MaxPool <kernel_shape = [2, 2]> (x)",
        "y, mean, deviation = LayerNormalization <axis = 3> (x, scale)",
    ],
)
def test_outputs_that_nobody_reads_need_not_be_made(text: str, tmp_path: Path) -> None:
    pictures = torch.from_numpy(drawn(2, 3, 6, 6))
    path = write(tmp_path / "more.onnx", text, scale=drawn(6))
    theirs = by_reference(path, pictures)
    torch.testing.assert_close(read_onnx(path)(pictures), theirs, atol=1e-5, rtol=0)


def resized(path: Path, settings: str, *scales: float) -> Path:
    return write(path, f"y = Resize <{settings}> (x, , scales)", scales=f32(1, 1, *scales))


@pytest.mark.parametrize("where", ["half_pixel", "pytorch_half_pixel", "half_pixel_symmetric"])
@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil"])
def test_pixels_are_repeated_as_the_reference_does(
    where: str, rounding: str, tmp_path: Path
) -> None:
    settings = f'mode = "nearest", coordinate_transformation_mode = "{where}"'
    path = resized(tmp_path / "n.onnx", f'{settings}, nearest_mode = "{rounding}"', 2, 3)
    pictures = torch.from_numpy(drawn(1, 3, 6, 6))
    torch.testing.assert_close(read_onnx(path)(pictures), by_reference(path, pictures))


@pytest.mark.parametrize("scale", [4 / 3, 1 / 3, 0.5])
def test_scales_that_are_no_exact_numbers_are_read(scale: float, tmp_path: Path) -> None:
    linear = 'mode = "linear", coordinate_transformation_mode = "half_pixel"'
    path = resized(tmp_path / "l.onnx", linear, scale, scale)
    pictures = torch.from_numpy(drawn(1, 3, 6, 6))
    torch.testing.assert_close(
        read_onnx(path)(pictures), by_reference(path, pictures), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(
    ("where", "rounding", "mode", "scale"),
    [
        ("half_pixel", "floor", "nearest", 2),
        ("half_pixel", "ceil", "nearest", 2),
        ("asymmetric", "round_prefer_floor", "nearest", 2),
        ("tf_crop_and_resize", "floor", "nearest", 2),
        ("half_pixel", "floor", "linear", 1.3),
        ("pytorch_half_pixel", "floor", "linear", 1 / 6),
    ],
)
def test_resizing_that_pytorch_has_not_is_named(
    where: str, rounding: str, mode: str, scale: float, tmp_path: Path
) -> None:
    settings = f'mode = "{mode}", coordinate_transformation_mode = "{where}"'
    path = resized(tmp_path / "r.onnx", f'{settings}, nearest_mode = "{rounding}"', scale, scale)
    assert re.search(
        "Resize 'y': (resizing by|scales that make) .* (is|are) not read", refused(path)
    )


def test_a_network_that_trains_is_refused(tmp_path: Path) -> None:
    path, five = tmp_path / "trains.onnx", [f32(1, 1, 1) for _ in "sbmv"]
    weights = dict(zip("sbmv", five, strict=True))
    write(path, "y, a, c, d, e = BatchNormalization (x, s, b, m, v)", 8, **weights)
    assert "training_mode = 1 is not read" in refused(path)
    write(path, "y = Dropout (x, r, t)", r=np.array(0.5, np.float32), t=np.array(1, np.bool_))
    assert "it trains" in refused(path)
    write(path, "y = ReduceL2 <noop_with_empty_axes = 1> (x)", 18)
    assert "it has no axes" in refused(path)


def refused(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        read_onnx(path)
    return str(caught.value).replace(str(path), "F")


def test_what_cannot_be_read_is_told_in_words(tmp_path: Path) -> None:
    path = tmp_path / "refused.onnx"
    write(path, "y = Cos (x)")
    assert refused(path).startswith("F: Cos 'y' is not read; of operations, agns reads Abs, Add, ")
    write(path, "y = Relu <slope = 2.0> (x)")
    assert refused(path) == "F: Relu 'y': slope is not read"
    write(path, "y = Conv (x, w)", w=drawn(2, 4, 3, 3))
    assert refused(path).startswith("F: Conv 'y': ")
    write(path, "y = Conv <kernel_shape = [5, 5]> (x, w)", w=drawn(2, 3, 3, 3))
    assert "kernel_shape [5, 5] is not that of the weights" in refused(path)
    write(path, 'y = Conv <auto_pad = "FOO"> (x, w)', w=drawn(2, 3, 3, 3))
    assert "auto_pad FOO is not read" in refused(path)
    write(path, "y = Add (x, z)")
    assert refused(path) == "F: Add 'y': it needs 'z', which nothing made before"
    write(path, "y = Relu (x)", opset=3)
    assert refused(path) == "F uses version 3 of ONNX's operators, and 7 to 25 are read"
    write(path, "y = Relu (x)", shape="1, 4, 6, 6")
    assert "takes (1, 4, 6, 6), expected (batch, 3, height, width)" in refused(path)
    write(path, "y = Tile (x, t)", t=i64(1, 1, 1 << 20, 1 << 20))
    assert "larger than anything that a face network needs" in refused(path)
    write(path, "y = ReduceMean <axes = [0]> (x)", shape="4, 3, 6, 6")
    assert refused(path) == "F: 'y' should hold numbers for each photo, and is (1, 3, 6, 6)"
    write(path, "y = Gather <axis = 3> (x, far)", far=i64(9))
    assert refused(path).startswith("F does not compute: index out of range")
    chain = " ".join(f"x{n} = MatMul (x{n - 1 or ''}, w)" for n in range(1, 400))
    write(path, f"{chain} y = Relu (x399)", shape="1, 3, 999, 999", w=drawn(999, 999))
    assert "multiplications" in refused(path)


def test_values_that_take_too_much_together_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = " ".join(f"x{n} = Neg (x)" for n in range(8))
    several = f"{parts} y = Sum ({', '.join(f'x{n}' for n in range(8))})"
    in_turn = "x0 = Neg (x) " + " ".join(f"x{n} = Neg (x{n - 1})" for n in range(1, 8))
    path = write(tmp_path / "held.onnx", several)
    monkeypatch.setattr("agns.models.importing.foreign_network._MOST_HELD", 500)
    assert refused(path) == "F: Neg 'x3': up to here 540 numbers have to be kept at once"
    assert read_onnx(write(path, f"{in_turn} y = Neg (x7)")).size == (6, 6)


def test_more_photos_than_a_value_may_hold_are_computed_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = read_onnx(write(tmp_path / "pad.onnx", "y = Pad (x, wide)", wide=i64(*[0] * 7, 6)))
    pictures = torch.rand(7, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    expected = network(pictures)
    monkeypatch.setattr("agns.models.importing.foreign_step.MOST_NUMBERS", 500)
    assert torch.equal(network(pictures), expected)
    monkeypatch.setattr("agns.models.importing.foreign_step.MOST_NUMBERS", 200)
    with pytest.raises(WeightsError, match="is larger than anything"):
        network(pictures)


def test_onnxruntime_runs_nothing_that_the_answer_does_not_need(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = write(tmp_path / "dead.onnx", "y = Relu (x) z = Unknown (x)")
    assert read_onnx(path).checked.startswith("differs from onnxruntime ")


def test_a_small_message_that_asks_for_much_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agns.models.importing.onnx_network._MOST_WORDS", 10_000)
    path = tmp_path / "many.onnx"
    nodes = b"\x0a\x00" * 1000
    path.write_bytes(b"\x08\x07\x3a\xd0\x0f" + nodes)
    assert refused(path) == "F has 10,000 bytes or more beside its weights: too many"
    weights = drawn(100, 100)
    assert read_onnx(write(path, "y = Relu (x) z = Relu (w)", w=weights)).size == (6, 6)


def test_damage_ends_in_a_sentence(tmp_path: Path) -> None:
    whole = face_network(tmp_path / "face.onnx", 17).read_bytes()
    damaged = tmp_path / "damaged.onnx"
    dice, refusals = random.Random(0), 0
    for _ in range(40):
        content = bytearray(whole)
        if dice.random() < 0.2:
            del content[dice.randrange(len(content)) :]
        for _ in range(dice.choice([1, 2, 8, 64])):
            if content:
                content[dice.randrange(len(content))] = dice.choice([0, 127, 128, 255])
        damaged.write_bytes(content)
        try:
            read_onnx(damaged)
        except WeightsError:
            refusals += 1
    assert refusals > 10

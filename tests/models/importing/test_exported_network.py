"""A small network through torch.export.save, against itself."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agns.errors import WeightsError
from agns.models.importing.exported_network import read_exported

# torch.export uses what PyTorch warns of.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


class Net(nn.Module):
    """What face networks have, overwriting included, and a layer of attention."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        )
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.prelu, self.norm = nn.PReLU(8), nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.embed, self.drop = nn.Linear(72, 5), nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        # As ArcFace's networks have it, and numbers made within.
        with torch.autocast("cpu", enabled=False):
            ramp = torch.arange(1, 9, device=x.device).view(8, 1, 1).to(x)
            beside = self.prelu(self.depthwise(x)) * ramp / 8
        x = x.clone()
        x += beside
        x = F.relu6(x) * torch.sigmoid(x.mean((2, 3), keepdim=True))
        pooled = F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1)
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        first, second = tokens.chunk(2, dim=2)
        tokens = torch.cat([second, first], 2).reshape(x.shape[0], -1)
        return F.normalize(self.embed(self.drop(tokens)) + F.pad(pooled, (0, -3)))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    network = Net().eval()
    generator = torch.Generator().manual_seed(0)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) - 0.3)
    network.get_buffer("stem.1.running_var").abs_().add_(0.1)
    return network


@pytest.fixture(scope="module")
def exported(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Files for any batch, for one photo, and of the operations that others are made of."""
    folder = tmp_path_factory.mktemp("exported")

    def file(name: str) -> Path:
        path = folder / f"{name}.pt2"
        if not path.exists():
            batch = {0: torch.export.Dim("batch", min=1, max=64)} if name == "any" else None
            example = torch.zeros(2 if name == "any" else 1, 3, 6, 6)
            program = torch.export.export(net, (example,), dynamic_shapes=(batch,))
            if name == "decomposed":
                program = program.run_decompositions()
            torch.export.save(program, path)
        return path

    return file


@pytest.mark.parametrize("name", ["any", "one", "decomposed"])
def test_a_network_answers_as_it_did_before_it_was_exported(
    name: str, net: nn.Module, exported: Callable[[str], Path], generator: torch.Generator
) -> None:
    network = read_exported(exported(name))
    pictures = torch.rand(4, 3, 6, 6, generator=generator, requires_grad=True)
    kept = pictures.detach().clone()
    answers, expected = network(pictures), net(pictures)
    torch.testing.assert_close(answers, expected, atol=1e-6, rtol=0)
    assert torch.equal(pictures, kept)
    (gradient,) = torch.autograd.grad(answers.pow(3).sum(), pictures)
    (theirs,) = torch.autograd.grad(expected.pow(3).sum(), pictures)
    torch.testing.assert_close(gradient, theirs, atol=1e-6, rtol=1e-4)


class Overwriting(nn.Module):
    """Writes into memory that another value shares, in one of several ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.embed = how, nn.Linear(3, 2)
        self.register_buffer("mean", torch.full((3, 1, 1), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        if self.how == "part":
            x[:, 0] = (x[:, 0] - 0.485) / 0.229
        elif self.how == "view":
            x.view(len(x), -1).mul_(2)
        elif self.how == "chunk":
            x.chunk(3, 1)[0].relu_()
        elif self.how == "earlier":
            before = x.detach()
            x.mul_(2)
            x = x + before
        elif self.how == "own":
            self.get_buffer("mean")[0].mul_(2)
        elif self.how == "compared":
            mask = x.clone().gt_(0.5)
            mask.add_(mask)
            x = x * mask
        elif self.how == "alone":
            # The memory of others, too, but nobody reads it by another name.
            x = x.view(len(x), 3, -1).sub_(0.2).view(len(x), 3, 2, 2)
        return self.embed((x - self.get_buffer("mean")).abs().mean((2, 3)))


@pytest.mark.parametrize("how", ["part", "view", "chunk", "earlier", "own", "alone", "compared"])
def test_overwritten_memory_that_others_read_is_refused(
    how: str, tmp_path: Path, generator: torch.Generator
) -> None:
    network, path = Overwriting(how).eval(), tmp_path / "overwriting.pt2"
    pictures = torch.rand(1, 3, 2, 2, generator=generator)
    expected = Overwriting("").eval()(pictures) if how == "own" else network(pictures)
    with torch.no_grad():
        program = torch.export.export(network, (torch.zeros(1, 3, 2, 2),))
    torch.export.save(program, path)
    if how in ("alone", "compared"):
        torch.testing.assert_close(read_exported(path)(pictures), expected)
        return
    told = "the network's own numbers" if how == "own" else r"run_decompositions\(\)"
    with pytest.raises(WeightsError, match=rf"aten\.\w+_\.\w+ overwrites .*{told}"):
        read_exported(path)
    if how != "own":
        torch.export.save(program.run_decompositions(), path)
        pictures.requires_grad_()
        answers = read_exported(path)(pictures)
        torch.testing.assert_close(answers, expected)
        (gradient,) = torch.autograd.grad(answers.sum(), pictures)
        if how in ("part", "view"):  # PyTorch has none of chunks, and none through detach.
            (theirs,) = torch.autograd.grad(network(pictures).sum(), pictures)
            torch.testing.assert_close(gradient, theirs)


def changed(path: Path, to: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """A copy with another content of one record."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for one in old.namelist():
            content = old.read(one)
            new.writestr(one, change(content) if one.endswith(name) else content)
    return to


class Trap:
    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise AssertionError('it was unpickled')",)


def trap(_: bytes) -> bytes:
    return pickle.dumps(Trap())


def test_no_pickle_in_the_file_is_opened(exported: Callable[[str], Path], tmp_path: Path) -> None:
    path = changed(exported("one"), tmp_path / "trap.pt2", "sample_inputs/model.pt", trap)
    assert read_exported(path).size == (6, 6)

    def marked(content: bytes) -> bytes:
        config = json.loads(content)
        config["config"]["embed.weight"]["use_pickle"] = True
        return json.dumps(config).encode()

    path = changed(exported("one"), tmp_path / "weight.pt2", "weights_config.json", marked)
    with pytest.raises(WeightsError, match=r"keeps 'embed\.weight' as a pickle"):
        read_exported(path)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("torch.ops.aten.sigmoid.default", "torch.load", "torch.load 'sigmoid': it is not read; "),
        ("torch.ops.aten.sigmoid.default", "torch.ops.aten.from_file.default", "of operations, "),
        ('"as_int": 6}', '"as_int": 4000000000}', "larger than anything that a face network needs"),
        ('"as_int": 9}', '"as_int": 4000000000}', "arange': it makes more than"),
        ("wrap_with_autocast", "cond", "order.cond: an argument of kind as_graph is not read"),
        ('"parameter_name": "embed.bias"', '"parameter_name": "no"', "is damaged: it lacks 'no'"),
        ('"as_int": 6}', f'"as_int": {1 << 70}}}', "is damaged: |is larger than anything"),
        ("{", "[", "is damaged: "),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_in_words(
    old: str, new: str, told: str, exported: Callable[[str], Path], tmp_path: Path
) -> None:
    path = changed(
        exported("one"), tmp_path / "changed.pt2", "models/model.json",
        lambda content: content.decode().replace(old, new).encode(),
    )  # fmt: skip
    with pytest.raises(WeightsError, match=told) as caught:
        read_exported(path)
    assert "\n" not in str(caught.value)


def test_damage_ends_in_a_sentence(exported: Callable[[str], Path], tmp_path: Path) -> None:
    content = exported("one").read_bytes()
    path = tmp_path / "damaged.pt2"
    for length in (0, 100, len(content) // 2, len(content) - 30):
        path.write_bytes(content[:length])
        # The example of an input is an archive too, whose end may be taken for the file's.
        with pytest.raises(WeightsError, match=r"is damaged: |holds 0 networks"):
            read_exported(path)
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("a", b"")
    path.write_bytes(empty.getvalue())
    with pytest.raises(WeightsError, match=r"holds 0 networks of torch\.export"):
        read_exported(path)


def tensor(name: str) -> dict[str, object]:
    return {"as_tensor": {"name": name}}


def operation(target: str, made: str, *arguments: dict[str, object]) -> dict[str, object]:
    inputs = [{"name": f"{n}", "arg": one, "kind": 1} for n, one in enumerate(arguments)]
    return {"target": target, "inputs": inputs, "outputs": [tensor(made)]}


def within_graphs(depth: int) -> dict[str, object]:
    """Ones, in graphs within graphs."""
    inner = operation("torch.ops.aten.ones.default", "big", {"as_ints": [2]})
    for _ in range(depth):
        graph = {"inputs": [], "outputs": [tensor("big")], "nodes": [inner]}
        inner = operation(
            "torch.ops.higher_order.wrap_with_autocast",
            "big",
            {"as_graph": {"name": "g", "graph": graph}},
        )
    return inner


FEW = operation("torch.ops.aten.arange.default", "few", {"as_int": 4})


def by_name(node: dict[str, object], *names: str) -> dict[str, object]:
    """The same call, whose last arguments are given by name."""
    inputs = [dict(one) for one in node["inputs"]]
    for one, name in zip(inputs[-len(names) :], names, strict=True):
        one |= {"name": name, "kind": 2}
    return {**node, "inputs": inputs}


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ([within_graphs(3)], None),
        ([within_graphs(9)], "lie more than 8 deep within one another"),
        ([operation("torch.ops.aten.arange.default", "big", {"as_int": 1 << 33})], "more than 1"),
        (
            [operation("torch.ops.aten.zeros.default", "long", {"as_ints": [1 << 22]}),
             operation("torch.ops.aten.unbind.int", "big", tensor("long"))],
            "it makes too many tensors",
        ),
        (
            [by_name(operation("torch.ops.aten.arange.start", "big", {"as_int": 0},
                               {"as_int": 1 << 33}), "end")],
            "more than 16777216 numbers",
        ),
        (
            [by_name(operation("torch.ops.aten.full.default", "big", {"as_ints": [1 << 33]},
                               {"as_float": 1.0}), "size", "fill_value")],
            "more than 16777216 numbers",
        ),
        (
            [FEW, operation("torch.ops.aten.constant_pad_nd.default", "big", tensor("few"),
                            {"as_ints": [0, 1 << 33]})],
            "more than 16777216 numbers",
        ),
        (
            [operation("torch.ops.aten.relu.__setattr__", "big", {"as_string": "default"},
                       {"as_int": 0})],
            "there is no relu.__setattr__",
        ),
        ([FEW, operation("torch.ops.aten.relu.out", "big", tensor("few"))], "no relu.out|overwr"),
    ],
)  # fmt: skip
def test_what_a_hostile_file_asks_for_is_not_done(
    nodes: list[dict[str, object]], told: str | None, tmp_path: Path
) -> None:
    untouched = torch.ops.aten.relu.default
    flat = operation("torch.ops.aten.flatten.using_ints", "flat", tensor("x"), {"as_int": 1})
    total = operation("torch.ops.aten.sum.default", "total", tensor("big"))
    answer = operation("torch.ops.aten.mul.Tensor", "y", tensor("flat"), tensor("total"))
    sizes = [{"as_int": size} for size in (1, 3, 6, 6)]
    graph = {
        "nodes": [*nodes, flat, total, answer],
        "outputs": [tensor("y")],
        "tensor_values": {"x": {"sizes": sizes, "dtype": 7}},
    }
    given = {"input_specs": [{"user_input": {"arg": tensor("x")}}]}
    path = tmp_path / "hostile.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        text = json.dumps({"graph_module": {"graph": graph, "signature": given}})
        archive.writestr("m/models/model.json", text)
        for kind in ("weights", "constants"):
            archive.writestr(f"m/data/{kind}/model_{kind}_config.json", '{"config": {}}')
    if told is None:
        assert read_exported(path)(torch.ones(1, 3, 6, 6)).tolist() == [[2.0] * 108]
        return
    with pytest.raises(WeightsError, match=told):
        read_exported(path)
    assert torch.ops.aten.relu.default is untouched

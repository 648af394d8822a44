"""Networks of every kind, described."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import agns
from agns.campaign.plan import PlanVictim
from agns.cli.loading import known_identities
from agns.errors import ConfigError, WeightsError
from agns.loading import load_victim
from agns.models.importing.onnx_network import read_onnx
from agns.models.importing.tflite_network import read_tflite
from agns.models.opening import load_embedder
from agns.models.preprocessing import Preprocessing
from agns.storage import file_digest

NAMES = "Ann\nBob\n\nNo\nÇelik\nEve\n"
IDENTITIES = ("Ann", "Bob", "No", "Çelik", "Eve")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(5, 3 * 8 * 8, generator=generator) / 14)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) @ self.weight.T


def make() -> nn.Module:
    """Named in a description."""
    return Net()


def no_module() -> int:
    return 3


def onnx_file(path: Path) -> Path:
    onnx = pytest.importorskip("onnx")
    text = "f = Flatten (x) y = Gemm <transB = 1> (f, w)"
    graph = onnx.parser.parse_graph(f"g (float[N, 3, 8, 8] x) => (float[N, 5] y) {{ {text} }}")
    weight = Net().weight.detach().numpy()
    graph.initializer.append(onnx.numpy_helper.from_array(np.ascontiguousarray(weight), "w"))
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def described(path: Path, **keys: object) -> Path:
    """A description, with names in a file unless they are given."""
    (path / "names.txt").write_text(NAMES, encoding="utf-8")
    if "embedding" not in keys:
        keys = {"identities": "names.txt", **keys}
    lines = [f"{key}: {value}" for key, value in keys.items()]
    (path / "face.yaml").write_text("\n".join(lines), encoding="utf-8")
    return path / "face.yaml"


def test_a_described_network_takes_faces_as_the_description_says(
    tmp_path: Path, generator: torch.Generator
) -> None:
    path = onnx_file(tmp_path / "face.onnx")
    victim = agns.load(
        described(
            tmp_path, network="face.onnx", low=-1, high=1, mean="[0.1, 0.2, 0.3]", deviation=0.5,
            bgr="true", chip="arcface", sha256=file_digest(path),
        )
    )  # fmt: skip
    assert victim.identities == IDENTITIES
    faces = torch.rand(2, 3, 224, 224, generator=generator)
    preprocessing = Preprocessing(
        size=8, low=-1, high=1, mean=(0.1, 0.2, 0.3), deviation=0.5, bgr=True, chip="arcface"
    )
    torch.testing.assert_close(victim(faces), Net()(preprocessing(faces)), atol=1e-5, rtol=0)
    assert victim.record["network"] == "face.onnx"
    assert victim.record["sha256"] == file_digest(path)
    assert "onnxruntime" in str(victim.record["checked"])


def test_python_commands_and_plans_take_it_alike(tmp_path: Path) -> None:
    onnx_file(tmp_path / "face.onnx")
    path = described(tmp_path, network="face.onnx")
    assert agns.load(path).identities == IDENTITIES
    loaded = load_victim(path)
    assert loaded.recognizer.identities == IDENTITIES
    assert loaded.metadata["network"] == "face.onnx"
    assert known_identities(PlanVictim(name="face", file=str(path))) == IDENTITIES


@pytest.mark.parametrize("kind", ["tflite", "pt2", "pt", "function"])
def test_every_kind_of_network_is_described_alike(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    network, keys = f"face.{kind}", {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "tflite":
            pytest.importorskip("tflite")
            from tests.models.importing.test_tflite_network import small

            small(tmp_path / network)
            keys = {"identities": "[a, b, c, d, e, f]"}
        elif kind == "pt2":
            program = torch.export.export(make(), (torch.zeros(1, 3, 8, 8),))
            torch.export.save(program, tmp_path / network)
        elif kind == "pt":
            traced = torch.jit.trace(make(), torch.zeros(1, 3, 8, 8))
            torch.jit.save(traced, str(tmp_path / network))
            keys = {"size": 8, "trusted": "true"}
        else:
            network, keys = f"{__name__}:make", {"size": 8, "trusted": "true"}
    victim = agns.load(described(tmp_path, network=network, **keys))
    faces = torch.rand(3, 3, 224, 224, requires_grad=True)
    logits = victim(faces)
    assert logits.shape == (3, len(victim.identities))
    (gradient,) = torch.autograd.grad(logits.sum(), faces)
    assert bool(gradient.any())
    if kind != "tflite":
        small_faces = nn.functional.interpolate(
            faces, (8, 8), mode="bilinear", antialias=True, align_corners=False
        )
        torch.testing.assert_close(logits, Net()(small_faces), atol=1e-5, rtol=0)


def test_an_embedding_is_described_too(tmp_path: Path) -> None:
    onnx_file(tmp_path / "face.onnx")
    path = described(
        tmp_path, network="face.onnx", embedding="true", metric="cosine", unit="true", name="five"
    )
    embedder = load_embedder(path)
    assert (embedder.name, embedder.metric, embedder.unit) == ("five", "cosine", True)
    assert embedder(torch.rand(2, 3, 224, 224)).norm(dim=1).tolist() == pytest.approx([1, 1])
    with pytest.raises(ConfigError, match="describes an embedding: enrol people"):
        agns.load(path)
    with pytest.raises(ConfigError, match="describes a recogniser, and no embedding"):
        load_embedder(described(tmp_path, network="face.onnx"))


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"network": "none.onnx"}, r"face\.yaml, line 2: network: there is no file "),
        ({"netwrok": "face.onnx"}, "line 2: a description has no 'netwrok': it takes "),
        ({"network": "face.onnx", "size": 9}, "line 3: size: face.onnx takes pictures of 8x8"),
        ({"network": "face.onnx", "chip": "oval"}, "line 3: there is no chip 'oval'"),
        ({"network": "face.onnx", "chip": "[[1, 0, 0]]"}, "line 3: chip should "),
        ({"network": "face.onnx", "mean": "[1, 2]"}, "line 3: mean should "),
        ({"network": "face.onnx", "low": 2}, "low must be a number below high"),
        ({"network": "face.onnx", "unit": "true"}, "line 3: unit: it is for embeddings"),
        ({"network": "face.onnx", "embedding": "true"}, "either identities"),
        ({"network": "face.onnx", "identities": "[a, a, b, c, d]"}, "each of another name"),
        ({"network": "face.onnx", "identities": "[a, b]"}, r"give \(2, 2\) logits, got \(2, 5\)"),
        ({"network": "face.onnx", "identities": "no.txt"}, "identities: .*no.txt cannot be read"),
        ({"network": "face.onnx", "sha256": "abc"}, "line 3: sha256 should "),
        ({"network": "face.onnx", "sha256": "0" * 64}, "is another file than the one described"),
        ({"network": "names.txt"}, "is a text file; a description is of an ONNX model, "),
        ({"network": f"{__name__}:no_module", "trusted": "true"}, "makes a int, no module"),
        ({"network": f"{__name__}:make"}, "line 2: network: .*make is code, which runs as you"),
        ({"network": f"{__name__}:make", "trusted": "true"}, "does not take faces of 224x224 pix"),
        ({"network": "face.onnx", "identities": '"a\\0b"'}, "is no name of a file"),
        ({"network": "face.onnx", "identities": "/dev/zero"}, "identities: /dev/zero is no file"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_sentence(
    keys: dict[str, object], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    onnx_file(tmp_path / "face.onnx")
    if "identities" not in keys:
        keys = {"identities": "names.txt", **keys}
    path = described(tmp_path, **keys)
    if "embedding" in keys:
        path.write_text("network: face.onnx\nembedding: true\nidentities: [a, b]")
    with pytest.raises((ConfigError, WeightsError), match=told):
        agns.load(path)


def test_a_program_that_is_not_trusted_is_not_loaded(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(make(), torch.zeros(1, 3, 8, 8))
        torch.jit.save(traced, str(tmp_path / "face.pt"))
    with pytest.raises(ConfigError, match=r"line 2: .* loading it runs what it says"):
        agns.load(described(tmp_path, network="face.pt", size=8))


def test_a_bare_file_asks_for_a_description(tmp_path: Path) -> None:
    onnx_file(tmp_path / "face.onnx")
    with pytest.raises(ConfigError, match=r"say face\.yaml with `network: face\.onnx`, `id"):
        agns.load(tmp_path / "face.onnx")
    with pytest.raises(ConfigError, match="`embedding: true`"):
        load_embedder(tmp_path / "face.onnx")


@pytest.mark.parametrize(("package", "read"), [("onnx", read_onnx), ("tflite", read_tflite)])
def test_a_package_that_is_missing_is_named(
    package: str, read: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert callable(read)
    with pytest.raises(WeightsError, match=rf"pip install 'agns\[{package}\]'"):
        read(tmp_path / "face")

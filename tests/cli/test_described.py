"""Networks of other systems on the command line and in plans, by their descriptions."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.cli.conftest import Run
from torch import nn

from agns.data.simulation.synthetic import SyntheticConfig, write_synthetic_folder
from agns.loading import load_faces
from agns.models.opening import load
from agns.storage import read_json

onnx = pytest.importorskip("onnx")

NETWORK = """
    seen (float[1, 16, 16, 3] x) => (float[1, 3] y) {
        first = Transpose <perm = [0, 3, 1, 2]> (x)
        coarse = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (first)
        flat = Reshape (coarse, sizes)
        y = Gemm <transB = 1> (flat, means, shifts)
    }
"""
"""Tells people by the colours of a coarse grid, one photo at a time, channels last, blue first."""

DESCRIPTION = "network: face.onnx\nbgr: true\nlow: -1\nhigh: 1\n"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    write_synthetic_folder(root, SyntheticConfig(identities=3, photos=8))
    return root


def network(path: Path, people: Path, *, text: str = NETWORK) -> Path:
    """A network in ONNX whose weights are the people's mean pictures."""
    faces = load_faces(people)
    means = []
    for name in faces.identities:
        own = faces.faces(faces.places_of(name)[:4]).flip(1) * 2 - 1
        means.append(nn.functional.adaptive_avg_pool2d(own, 4).mean(0).flatten())
    weight = torch.stack(means)
    graph = onnx.parser.parse_graph(text)
    for name, value in (
        ("means", 4 * weight), ("shifts", -2 * weight.square().sum(1)),
        ("sizes", torch.tensor([1, 48])),
    ):  # fmt: skip
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def described(people: Path, tmp_path: Path) -> Path:
    network(tmp_path / "face.onnx", people)
    names = ", ".join(load_faces(people).identities)
    path = tmp_path / "victim.yaml"
    path.write_text(f"{DESCRIPTION}identities: [{names}]\n")
    return path


@pytest.mark.usefixtures("few_controls", "no_pictures")
def test_a_described_network_is_attacked_by_its_gradient(
    agns: Run, described: Path, people: Path, shop: Path, tmp_path: Path
) -> None:
    told = agns(
        "attack", "dodge", "--method", "pgd", "--steps", 5, "--recognizer", described,
        "--faces", people, "--subject", "Synthetic_001", "--glasses", shop,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert told.code == 0, told.err
    result = read_json(tmp_path / "out" / "result.json")
    assert result["recognizer"] == str(described)
    probability = {
        side: result[side]["mean_probability"]  # type: ignore[index, call-overload]
        for side in ("craft", "held_out_without_frame")
    }
    assert probability["craft"] < probability["held_out_without_frame"]
    assert not any("gradient" in str(one) for one in result["warnings"])  # type: ignore[union-attr]


def test_a_plan_names_a_description_and_holds_to_its_weights(
    agns: Run, described: Path, people: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        f"recognizers:\n  - {{name: seen, file: {described}, faces: {people}}}\n"
        "goals: [dodge]\nattacks:\n  - {method: pgd, settings: {steps: 1}}\n"
        "subjects: [Synthetic_000]\ncraft: 2\ncontrol_frames: 2\nframes: 4\n"
    )
    told = agns("campaign", "run", plan, "--out", tmp_path / "out")
    assert told.code == 0, told.err
    assert "seen" in told.out
    file = tmp_path / "face.onnx"
    network(file, people, text=NETWORK.replace("transB = 1", "transB = 1, alpha = 2.0"))
    told = agns("campaign", "run", plan, "--out", tmp_path / "out")
    assert told.code == 2
    assert "is not the recogniser any more that" in told.complaint


def test_a_described_embedding_is_enrolled_and_its_gallery_found_again(
    agns: Run, people: Path, tmp_path: Path
) -> None:
    network(tmp_path / "face.onnx", people)
    path = tmp_path / "embedding.yaml"
    path.write_text(f"{DESCRIPTION}embedding: true\n")
    gallery = tmp_path / "gallery.safetensors"
    given = ("enrol", people, "--embedder", path, "--people", 2, "--task", "closed-set")
    told = agns(*given, "--out", gallery)
    assert told.code == 0, told.err
    assert "onnxruntime" in str(load(gallery).record["checked"])
    # What a file leads to runs no code, trusted or not.
    path.write_text(f"{DESCRIPTION}embedding: true\ntrusted: true\n")
    told = agns("recognize", people, "--recognizer", gallery)
    assert told.code == 2
    assert "code may run, to which no other file leads" in told.complaint


def test_what_is_wrong_with_a_network_ends_a_command_in_a_sentence(
    agns: Run, described: Path, people: Path, tmp_path: Path
) -> None:
    file = tmp_path / "face.onnx"
    whole = file.read_bytes()

    def complaint() -> str:
        told = agns("recognize", people, "--recognizer", described)
        assert told.code in (1, 2)
        assert "Traceback" not in told.err
        return str(told.complaint)

    file.write_bytes(whole[: len(whole) // 2])
    assert "is damaged" in complaint()
    network(file, people, text=NETWORK.replace("AveragePool", "LpPool"))
    assert "LpPool 'coarse' is not read; of operations, agns reads Abs, " in complaint()
    network(file, people, text=NETWORK.replace("16, 16", "9999999, 9999999"))
    assert "larger than anything that a face network needs" in complaint()
    onnx.save_model(
        onnx.load_model_from_string(whole), file, save_as_external_data=True, size_threshold=0,
        location="weights.bin",
    )  # fmt: skip
    (tmp_path / "weights.bin").unlink()
    assert "lies beside it, and there is no " in complaint()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Flatten()), str(file))
    assert "loading it runs what it says" in complaint()

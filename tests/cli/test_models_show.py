"""`agns models show`: what a file holds, its layers, its graph, and what is refused."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.cli.conftest import Run, Weights

from agns.models.backbone import Backbone
from agns.models.dcgan import Generator
from agns.models.recognizer import Recognizer
from agns.models.shipped import shipped_weights
from agns.storage import save_tensors


def squeezed(text: str) -> str:
    """Without the table's columns and line breaks."""
    return " ".join(text.split())


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_a_recogniser_is_shown_with_its_record_and_layers(agns: Run) -> None:
    shown = agns("models", "show", shipped_weights("of10_synthetic"))
    assert (shown.code, shown.err) == (0, "")
    words = squeezed(shown.out)
    for part in (
        "network recogniser of10 on OpenFace's nn4.small2, pooling strided, convention torch",
        "brings them to 96x96 in [-1, 1]",
        "identities Synthetic_000, Synthetic_001,",
        "parameters 3,744,958 with moving statistics",
        "training photos 640, known by their digests",
        "recipe arch of10, epochs 30, batch 64, rate 0.002,",
        "accuracy 1,",
        "Inception (6) [1, 736, 3, 3] 664,000",
        "Total params: 3,735,646",
        "Total mult-adds (M): 200.61",
    ):
        assert part in words


def test_generator_discriminator_and_backbone_are_shown(
    agns: Run, weights: Weights, tmp_path: Path
) -> None:
    alone = tmp_path / "backbone.safetensors"
    backbone = Backbone("of", pooling="same")
    backbone.subtract(torch.zeros(3, 1, 1))
    backbone.record = {"imported": {"source": "nn4.t7", "kind": "a Torch file"}}
    backbone.write(alone)
    for path, parts in (
        (weights.generator, ("eyeglass generator", "ToPicture (9) [1, 3, 64, 176] 1,503")),
        (weights.discriminator, ("eyeglass discriminator", "Linear (judge) [1, 1] 7,201")),
        (alone, ("backbone OpenFace's nn4.small2, pooling same", "less an average face",
                 "imported from nn4.t7, a Torch file", "Linear (embed) [1, 128] 94,336")),
    ):  # fmt: skip
        shown = agns("models", "show", path)
        assert shown.code == 0
        for part in parts:
            assert part in squeezed(shown.out)


def test_depth_folds_layers_up(agns: Run, weights: Weights) -> None:
    shallow = agns("models", "show", weights.generator, "--depth", 1)
    assert "Sequential (draw) [1, 3, 64, 176] 421,923" in squeezed(shallow.out)
    assert "ConvTranspose2d" not in shallow.out


def test_many_identities_are_cut_short(agns: Run, tmp_path: Path) -> None:
    made = Recognizer.read(shipped_weights("of10_synthetic"))
    names = tuple(f"P{number:03d}" for number in range(30))
    type(made)("of", names).write(tmp_path / "many.safetensors")
    shown = agns("models", "show", tmp_path / "many.safetensors", "--depth", 1)
    assert "P022, P023 and 6 more" in squeezed(shown.out)


def test_the_graph_is_written_where_it_is_asked_for(
    agns: Run, weights: Weights, tmp_path: Path
) -> None:
    out = tmp_path / "graph.dot"
    shown = agns("models", "show", weights.recognizer, "--graph", out)
    assert shown.code == 0
    assert shown.out.endswith(f"Wrote {out}\n")
    source = out.read_text(encoding="utf-8")
    assert source.startswith("digraph network {")
    assert "label=<recognizer.safetensors>" in source


def test_a_picture_without_graphviz_is_refused_before_the_file_is_read(
    agns: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "")
    refused = agns("models", "show", tmp_path / "none.safetensors", "--graph", tmp_path / "a.svg")
    assert (refused.code, refused.out) == (2, "")
    assert "needs Graphviz's program dot, which is not installed" in refused.complaint


def test_what_is_no_network_is_refused(agns: Run, tmp_path: Path) -> None:
    missing = agns("models", "show", tmp_path / "none.safetensors")
    assert (missing.code, missing.complaint) == (
        2, f"there is no weight file {tmp_path / 'none.safetensors'}"
    )  # fmt: skip
    named = agns("models", "show", "of10")
    assert (named.code, named.complaint.split(",")[0]) == (2, "of10 is the name of an architecture")
    latents = tmp_path / "latents.safetensors"
    save_tensors(latents, {"latents": torch.zeros(2, 25)}, {})
    other = agns("models", "show", latents)
    assert (other.code, other.complaint) == (1, f"{latents} holds no network written by agns")
    latents.write_bytes(b"no weights")
    broken = agns("models", "show", latents)
    assert broken.code == 1
    assert "is a text file, not a safetensors file" in broken.complaint


def test_a_record_cannot_steer_the_terminal(agns: Run, tmp_path: Path) -> None:
    path = tmp_path / "generator.safetensors"
    record = {"source": "a\x1b[2Jb", "recipe": {"\x1b]0;x\x07epochs": "\r3"}, "scores": ["odd"]}
    network = Generator()
    network.record = record
    network.write(path)
    shown = agns("models", "show", path)
    assert shown.code == 0
    assert not set("\x1b\x07\r") & set(shown.out)
    assert "source a[2Jb" in squeezed(shown.out)


def test_neither_help_nor_import_loads_the_hub() -> None:
    code = """
import sys
from typer.testing import CliRunner
from agns.cli.app import app
shown = CliRunner().invoke(app, ["models", "show", "--help"])
assert shown.exit_code == 0 and "--graph" in shown.output, shown.output
print({"torch", "huggingface_hub", "torchinfo"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("set()", "", 0)

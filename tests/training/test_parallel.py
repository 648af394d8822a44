"""Several processes: their step against that of one, their shares, and who writes."""

import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from agns.errors import ConfigError
from agns.training.parallel import (
    Machines,
    draws_at,
    is_first_process,
    running,
    share_of,
)
from agns.training.sync_batchnorm import SyncBatchNorm1d, SyncBatchNorm2d, sync_batch_norms
from agns.training.triplets import triplet_loss

ROOT = Path(__file__).parents[2]
NETWORK = """
    def network():
        draws = torch.Generator().manual_seed(3)
        made = nn.Sequential(
            nn.Conv2d(3, 5, 3, 2), nn.BatchNorm2d(5), nn.ReLU(),
            nn.Conv2d(5, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.BatchNorm1d(36),
            nn.Linear(36, 3),
        )
        for parameter in made.parameters():
            with torch.no_grad():
                parameter.normal_(0, 0.3, generator=draws)
        return made
    draws = torch.Generator().manual_seed(4)
    images, labels = torch.rand(8, 3, 11, 11, generator=draws), torch.arange(8) % 3
"""
STEP = """
    own = sync_batch_norms(network())
    stepped = fabric.setup_module(own)
    places = share_of(torch.arange(8), rank=fabric.global_rank, processes=2)
    loss = nn.functional.cross_entropy(stepped(images[places]), labels[places])
    fabric.backward(loss)
    found = {f"gradient.{n}": p.grad for n, p in own.named_parameters()}
    found |= {n: b.float() for n, b in own.named_buffers()}
    save_file({n: t.contiguous() for n, t in found.items()}, root / f"step-{fabric.global_rank}")
"""
TRIPLETS = """
    names = torch.tensor([0, 0, 1, 1, 2, 2, 0, 1])
    own = sync_batch_norms(network())
    own[-1] = nn.Linear(36, 128)
    with torch.no_grad():
        own[-1].weight.normal_(0, 0.3, generator=draws)
        own[-1].bias.zero_()
    stepped = fabric.setup_module(own)
    shares = [share_of(torch.arange(8), rank=rank, processes=2) for rank in range(2)]
    embedded = nn.functional.normalize(stepped(images[shares[fabric.global_rank]]), dim=1)
    loss = triplet_loss(gather_over_processes(embedded), names[torch.cat(shares)], 0.5)
    fabric.backward(loss)
    found = {n: p.grad for n, p in own.named_parameters()}
    save_file({n: t.contiguous() for n, t in found.items()}, root / f"triplet-{fabric.global_rank}")
"""
TRAINING = """
    # Which photos each process draws, and which files it writes.
    notes = (root / f"notes-{fabric.world_size}-{fabric.global_rank}").open("w")
    drawing, replacing = training.augment, agns.storage.replacing
    def augment(data, batch, *arguments, **rest):
        notes.write(f"photos {' '.join(map(str, batch.tolist()))}\\n")
        return drawing(data, batch, *arguments, **rest)
    def note(path):
        notes.write(f"wrote {path.name}\\n")
        return replacing(path)
    training.augment, agns.storage.replacing = augment, note
    config = RecognizerTraining(arch="of", epochs=2, batch=8)
    noise = torch.Generator().manual_seed(5)
    faces = faces_from_pixels(
        torch.randint(256, (24, 3, 224, 224), generator=noise).to(torch.uint8),
        torch.arange(3).repeat_interleave(8), ["Ann", "Bob", "Cy"], [f"{n}.png" for n in range(24)],
    )
    training.train_recognizer(
        faces, draw_frames(12), config, root / f"run{fabric.world_size}", fabric=fabric
    )
    training.augment, agns.storage.replacing = drawing, replacing
    notes.close()
"""
GROWING = """
    agns.models.families.FAMILIES["vgg"] = replace(
        agns.models.families.FAMILIES["vgg"], head=lambda classes: nn.Linear(8, classes),
        backbone=lambda *_: Vgg16(blocks=((3, 1),) * 5, width=8),
    )
    # What each process itself trains, after it has grown.
    trained, trainer = [], training.Trainer
    def begin(network, **rest):
        trained.append(network)
        return trainer(network, **rest)
    training.Trainer = begin
    config = RecognizerTraining(arch="vgg", epochs=2, batch=8, sizes=(56, 112), norms=True)
    training.train_recognizer(
        faces, draw_frames(12), config, root / f"grown{fabric.world_size}", fabric=fabric
    )
    training.Trainer = trainer
    for stage, network in enumerate(trained):
        save_file(network.state_dict(), root / f"grown-{stage}-{fabric.global_rank}")
"""
FAILING = """
    def fail():
        raise ConfigError(f"raised in {fabric.global_rank}")
    told = []
    for let in (on_first, first_then_others):
        try:
            let(fabric, fail)
        except ConfigError as error:
            told.append(str(error))
    made = on_first(fabric, lambda: fabric.global_rank)
    both = first_then_others(fabric, lambda: fabric.global_rank)
    with open(root / f"told-{fabric.global_rank}", "w") as file:
        print(told, made, both, file=file)
"""
THREADS = """
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    (root / f"threads-{fabric.global_rank}").write_text("".join(names))
"""
PROGRAM = """
    import sys
    from dataclasses import replace
    from pathlib import Path

    import torch
    from safetensors.torch import save_file
    from torch import nn

    import agns.models.families
    import agns.storage
    import agns.training.recognizer as training
    from agns.data.simulation.drawn_frames import draw_frames
    from agns.data.faces import faces_from_pixels
    from agns.errors import ConfigError
    from agns.models.vgg import Vgg16
    from agns.training.sync_batchnorm import gather_over_processes, sync_batch_norms
    from agns.training.parallel import Machines, first_then_others, on_first, running, share_of
    from agns.training.recipe import RecognizerTraining
    from agns.training.triplets import triplet_loss
    from tests.training.small_openface import SmallOpenFace

    agns.models.families.OpenFace = SmallOpenFace
    root = Path(sys.argv[1])
"""


ERRING = """
    machines = Machines(accelerator="cpu", strategy="ddp", precision="32")
    def train(fabric):
        stepped = fabric.setup_module(nn.Linear(3, 3))
        fabric.backward(stepped(torch.rand(2, 3)).sum())
        raise ConfigError("so it ends")
    try:
        with running(machines) as fabric:
            train(fabric)
    except ConfigError as error:
        names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
        print(error, *names)
"""


def program(devices: int, *parts: str) -> str:
    """What each process runs: parts one after the other, in processes begun once."""
    end = f"""
    machines = Machines(accelerator="cpu", devices={devices}, precision="32")
    with running(machines) as fabric:
        train(fabric)
"""
    own = textwrap.indent("".join(parts), "    ")
    return textwrap.dedent(f"{PROGRAM}\n    def train(fabric):\n{own}{end}{THREADS}")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes leave that do all that tests here ask of two."""
    root = tmp_path_factory.mktemp("pair")
    path = root / "program.py"
    # The networks are drawn anew for each, as the process that they are held against does.
    parts = (NETWORK, STEP, NETWORK, TRIPLETS, TRAINING, GROWING, FAILING)
    path.write_text(program(2, *parts), encoding="utf-8")
    found = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": found}
    done = subprocess.run(
        [sys.executable, path, root],
        capture_output=True, text=True, check=False, env=environment, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return root


def made_here() -> dict[str, Any]:
    """The network, images and labels of `NETWORK`."""
    names: dict[str, Any] = {"torch": torch, "nn": nn}
    exec(textwrap.dedent(NETWORK), names)
    return names


def test_a_step_of_two_processes_has_the_gradients_of_one_with_the_joint_batch(
    pair: Path,
) -> None:
    names = made_here()
    alone = names["network"]()
    loss = nn.functional.cross_entropy(alone(names["images"]), names["labels"])
    loss.backward()
    for rank in range(2):
        found = load_file(pair / f"step-{rank}")
        for name, parameter in alone.named_parameters():
            torch.testing.assert_close(
                found[f"gradient.{name}"], parameter.grad, rtol=1e-4, atol=1e-6, msg=name
            )
        for name, buffer in alone.named_buffers():
            torch.testing.assert_close(found[name], buffer.float(), rtol=1e-5, atol=1e-6)


def test_triplets_of_two_processes_have_the_gradients_of_one_with_the_joint_batch(
    pair: Path,
) -> None:
    names = made_here()
    alone = names["network"]()
    alone[-1] = nn.Linear(36, 128)
    with torch.no_grad():
        alone[-1].weight.normal_(0, 0.3, generator=names["draws"])
        alone[-1].bias.zero_()
    embedded = nn.functional.normalize(alone(names["images"]), dim=1)
    triplet_loss(embedded, torch.tensor([0, 0, 1, 1, 2, 2, 0, 1]), 0.5).backward()
    for rank in range(2):
        found = load_file(pair / f"triplet-{rank}")
        for name, parameter in alone.named_parameters():
            torch.testing.assert_close(
                found[name], parameter.grad, rtol=1e-3, atol=1e-6, msg=f"{rank} {name}"
            )


@pytest.mark.usefixtures("small_openface")
def test_two_processes_train_as_one_and_only_the_first_writes(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["program.py", str(tmp_path)])
    exec(program(1, TRAINING), {})
    notes = {
        name: (root / f"notes-{name}").read_text(encoding="utf-8").splitlines()
        for name, root in (("1-0", tmp_path), ("2-0", pair), ("2-1", pair))
    }
    drawn = {
        name: [line.split()[1:] for line in lines if line.startswith("photos")]
        for name, lines in notes.items()
    }
    assert len(drawn["1-0"]) == len(drawn["2-0"]) == len(drawn["2-1"]) > 0
    for joint, first, second in zip(drawn["1-0"], drawn["2-0"], drawn["2-1"], strict=True):
        assert (first, second) == (joint[::2], joint[1::2])
    assert [line for line in notes["2-1"] if line.startswith("wrote")] == []
    assert "wrote recognizer.safetensors" in notes["2-0"]


def test_a_network_grows_in_two_processes(pair: Path) -> None:
    for stage, blocks in enumerate((3, 4)):
        first, second = (load_file(pair / f"grown-{stage}-{rank}") for rank in range(2))
        convolutions = [name for name, tensor in first.items() if tensor.ndim == 4]
        assert len(convolutions) == blocks
        for name, tensor in first.items():
            assert torch.equal(tensor, second[name]), name
    kept = load_file(pair / "grown2" / "recognizer.safetensors")
    assert sum(tensor.ndim == 4 for tensor in kept.values()) == 5
    assert not any("running" in name for name in kept)


def test_shares_are_disjoint_equally_large_and_whole() -> None:
    batch = torch.tensor([5, 5, 7, 8, 9, 2])
    shares = [share_of(batch, rank=rank, processes=3) for rank in range(3)]
    assert {len(share) for share in shares} == {2}
    assert Counter(torch.cat(shares).tolist()) == Counter(batch.tolist())
    with pytest.raises(ConfigError, match="a batch of 5 does not divide by 3 processes"):
        share_of(batch[:5], rank=0, processes=3)


def test_a_place_always_gives_the_same_draws_and_no_other_place_does() -> None:
    drawn = {
        place: tuple(torch.rand(3, generator=draws_at(*place)).tolist())
        for place in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (0, 1), (0, 12), (0, 1, 2, 0)]
    }
    assert len(set(drawn.values())) == len(drawn)
    assert tuple(torch.rand(3, generator=draws_at(0, 1, 2)).tolist()) == drawn[0, 1, 2]


def test_synced_norms_keep_names_weights_and_what_one_process_computes(
    generator: torch.Generator,
) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.Sequential(nn.BatchNorm2d(4, eps=1e-3)),
        nn.Flatten(),
        nn.BatchNorm1d(64, eps=1e-2),
    )
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images = torch.rand(2, 3, 6, 6, generator=generator)
    expected = network.eval()(images)
    joined = sync_batch_norms(network)
    assert isinstance(joined[1][0], SyncBatchNorm2d)
    assert isinstance(joined[3], SyncBatchNorm1d)
    assert (joined[1][0].eps, joined[3].eps) == (1e-3, 1e-2)
    assert before.keys() == joined.state_dict().keys()
    torch.testing.assert_close(joined.eval()(images), expected)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"devices": 0}, "devices must be at least 1, got 0"),
        ({"num_nodes": 0}, "num_nodes must be at least 1, got 0"),
        ({"accelerator": "cpu", "precision": "16-mixed"}, "16-mixed needs a GPU"),
        ({"num_nodes": 2}, "2 machines work together only if each is started with torchrun"),
    ],
)
def test_machines_that_cannot_be_are_refused(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], complaint: str
) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ConfigError, match=complaint):
        Machines(**changes)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="no GPU"):
        Machines(accelerator="cuda")


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({}, True),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"RANK": "8", "LOCAL_RANK": "0"}, False),
        ({"NODE_RANK": "1", "LOCAL_RANK": "0"}, False),
    ],
)
def test_the_first_process_knows_itself_before_any_launch(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], first: bool
) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() is first


@pytest.mark.parametrize(
    ("world", "here", "options"),
    [("2", "2", {}), ("2", "1", {"devices": 2}), ("4", "2", {"devices": 2})],
)
def test_processes_that_were_started_must_be_those_asked_for(
    monkeypatch: pytest.MonkeyPatch, world: str, here: str, options: dict[str, int]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
    with pytest.raises(ConfigError, match=f"{world} processes were started, {here} of them here"):
        Machines(accelerator="cpu", **options)
    asked = {"devices": int(here), "num_nodes": int(world) // int(here)}
    assert Machines(accelerator="cpu", **asked).processes == int(world)


def test_what_the_first_process_cannot_do_is_raised_in_all(pair: Path) -> None:
    told = "['raised in 0', 'raised in 0']"
    found = [(pair / f"told-{rank}").read_text(encoding="utf-8").strip() for rank in range(2)]
    assert found == [f"{told} 0 0", f"{told} None 1"]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are told by Linux alone")
def test_no_thread_of_the_group_is_left_to_be_aborted_with_the_process(pair: Path) -> None:
    for rank in range(2):
        threads = (pair / f"threads-{rank}").read_text(encoding="utf-8").split()
        assert threads
        assert not [thread for thread in threads if "gloo" in thread]


@pytest.mark.parametrize(("error", "killed"), [(KeyboardInterrupt(), True), (OSError(), False)])
def test_an_error_ends_with_its_own_code_whatever_becomes_of_the_others(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, killed: bool
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        # What Lightning's watching thread looks at.
        watched = [other]
        fabric = SimpleNamespace(
            launch=lambda: None, strategy=SimpleNamespace(launcher=SimpleNamespace(procs=watched))
        )
        monkeypatch.setattr(Machines, "open", lambda _: fabric)
        with pytest.raises(type(error)), running(Machines(accelerator="cpu")):
            raise error
        assert watched == []
        assert (other.wait(20) < 0) if killed else (other.poll() is None)
        other.kill()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are told by Linux alone")
def test_no_thread_of_the_group_is_left_by_an_error(tmp_path: Path) -> None:
    found = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM + ERRING), tmp_path],
        capture_output=True, text=True, check=True, timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": found},
    )  # fmt: skip
    assert done.stdout.startswith("so it ends python")
    assert "gloo" not in done.stdout


def test_a_command_on_several_processes_complains_once(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "AGNS_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "agns", "train", "recognizer", "--faces", "nowhere", "--devices",
         "2", "--accelerator", "cpu", "--out", str(tmp_path / "run")],
        capture_output=True, text=True, check=False, env=environment, timeout=240,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip() == "agns: there is no folder of faces nowhere"
    assert not (tmp_path / "run").exists()

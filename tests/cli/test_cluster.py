"""`agns campaign run --dask`: a campaign on a real cluster of two worker processes."""

import contextlib
import functools
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import dask
import psutil
import pytest
from distributed import Client, Worker, WorkerPlugin
from tests.attack import conftest as attack_conftest
from tests.campaign.conftest import attack_score, written
from tests.cli import conftest as cli_conftest
from tests.cli.conftest import TINY, call, draw_nothing, score_briefly

from agns.campaign import cluster_worker, connecting
from agns.campaign.cluster import work_on_cluster
from agns.campaign.connecting import connected
from agns.campaign.jobs import jobs_of
from agns.campaign.ledger import Ledger
from agns.campaign.plan import Plan, plan_as_json
from agns.campaign.plan_file import read_plan
from agns.cli.loading import open_for_campaign
from agns.data.face_folder import list_identities
from agns.errors import ConfigError, DataError
from agns.models import families
from agns.storage import read_json, write_json

Run = Callable[..., Any]

# Workers cannot import these files.
for file in (sys.modules[__name__], cli_conftest, attack_conftest):
    cloudpickle.register_pickle_by_value(file)

PLAN = """\
recognizers:
  - {{name: small, file: {recognizer}, faces: {faces}}}
goals: [impersonate]
attacks:
  - {{method: pgd, settings: {{steps: 1}}}}
  - {{name: too-big, method: agn, settings: {{batch: 64}}}}
subjects: [Synthetic_000, Synthetic_001]
craft: 2
control_frames: 2
frames: 16
"""


MANY = """\
universal:
  - {name: many, craft: 1, counts: [1, 2], clusters: 1, candidates: 2, frames: 2, steps: 1}
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, weights: Any, folder: Path) -> Path:
    path = tmp_path_factory.mktemp("plan") / "plan.yaml"
    path.write_text(PLAN.format(recognizer=weights.recognizer, faces=folder), encoding="utf-8")
    return path


class Brief(WorkerPlugin):
    """What tests make brief in this process is so on workers too."""

    def setup(self, worker: Worker) -> None:
        patch = pytest.MonkeyPatch()
        patch.setitem(families.FAMILIES, "tiny", TINY)
        score_briefly(patch)
        draw_nothing(patch)


@pytest.fixture(autouse=True)
def _brief(few_controls: None, no_pictures: None) -> None:
    """No test looks at pictures or waits for controls."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Two workers, each of which offers a GPU, in words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGNS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("DASK_TEMPORARY_DIRECTORY", str(tmp_path_factory.mktemp("scratch")))
        # A worker that is stuck holds nobody up for longer.
        with (
            dask.config.set({"distributed.scheduler.worker-ttl": "60s"}),
            connected("local", workers=2, resources={"GPU": 1}) as made,
        ):
            made.register_plugin(Brief())
            yield made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, plan: Path) -> list[object]:
    """The figures of one process."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGNS_CACHE", str(tmp_path_factory.mktemp("cache")))
        draw_nothing(patch)
        score_briefly(patch)
        call("campaign", "run", plan, "--out", out)
    return figures(out)


def figures(out: Path) -> list[object]:
    """What does not depend on the clock."""
    told = read_json(out / "report.json")["cells"]
    assert isinstance(told, list)
    return [
        (
            job["sentence"],
            {key: value for key, value in (job["result"] or {}).items() if key != "seconds"},
        )
        for job in told
    ]


def address(client: Client) -> str:
    return str(client.scheduler.address)


def begin(plan: Plan, out: Path, *, only: int | None = None) -> Ledger:
    """A ledger of a plan's first jobs."""
    known = {
        victim.name: tuple(list_identities(victim.faces))
        for victim in plan.recognizers
        if victim.faces is not None
    }
    ledger = Ledger(out / "campaign.sqlite")
    ledger.begin(plan_as_json(plan), jobs_of(plan, known)[:only], {})
    return ledger


def opens(plan: Plan) -> Callable[..., Any]:
    return functools.partial(open_for_campaign, plan=plan)


def test_a_local_cluster_listens_on_this_machine_alone(client: Client) -> None:
    own = psutil.Process()
    heard = {
        socket.laddr.ip
        for process in (own, *own.children(recursive=True))
        for socket in process.net_connections(kind="inet")
        if socket.status == psutil.CONN_LISTEN
    }
    assert heard == {"127.0.0.1"}
    assert len(client.nthreads()) == 2


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows cannot hold it back")
def test_ctrl_c_is_for_the_command_and_not_for_its_workers(client: Client) -> None:
    held_back = client.run(signal.pthread_sigmask, signal.SIG_BLOCK, ())
    assert all(signal.SIGINT in signals for signals in held_back.values())
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_cluster_comes_to_the_figures_and_the_failures_of_one_process(
    agns: Run, plan: Path, client: Client, whole: list[object], tmp_path: Path
) -> None:
    done = agns(
        "campaign", "run", plan, "--out", tmp_path / "out", "--dask", address(client),
        "--dask-resources", "GPU=1",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "2 of 4 attacks have results, 2 failed" in done.out
    assert done.out.count("min left") == 4
    assert figures(tmp_path / "out") == whole
    assert ("a batch of 64 needs as many real frames, got 16", {}) in whole
    jobs = list((tmp_path / "out/cells").iterdir())
    assert len(jobs) == 2
    for job in jobs:
        assert {"result.json", "frame.png", "before_after.png"} <= set(os.listdir(job))
        assert (job / "frames/01.png").is_file()


def test_a_run_that_is_broken_off_gives_everything_back_and_goes_on_later(
    plan: Path, client: Client, whole: list[object], tmp_path: Path, agns: Run
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    read = read_plan(plan)
    ledger = begin(read, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        work_on_cluster(read, ledger, tmp_path, opens(read), client, tell=interrupt)
    states = [row.state for row in ledger.records()]
    ledger.close()
    assert "claimed" not in states
    assert states.count("open") == 3
    done = agns("campaign", "run", plan, "--out", tmp_path, "--dask", address(client))
    assert (done.code, figures(tmp_path)) == (0, whole), done.err


def test_a_cluster_of_this_machines_processes_makes_frames_for_many_too(
    agns: Run, plan: Path, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = tmp_path / "plan.yaml"
    text = plan.read_text(encoding="utf-8").replace(", Synthetic_001]", "]")
    many.write_text(f"{text}{MANY}", encoding="utf-8")
    begun = []

    @contextlib.contextmanager
    def begin_with(address: str, **named: object) -> Iterator[Client]:
        begun.append((address, named))
        yield client

    monkeypatch.setattr(connecting, "connected", begin_with)
    one, joint = tmp_path / "one", tmp_path / "joint"
    assert agns("campaign", "run", many, "--out", one).code == 0
    done = agns("campaign", "run", many, "--out", joint, "--workers", 2, "--dask", "local")
    assert done.code == 0, done.err
    assert begun == [("local", {"workers": 2, "resources": {}})]
    curves, expected = (read_json(out / "report.json")["curves"] for out in (joint, one))
    assert curves == expected != []
    assert len(list(joint.glob("cells/universal-*/frames/02.png"))) == 1


def test_a_result_that_was_not_entered_is_not_worked_for_again(
    plan: Path, client: Client, tmp_path: Path
) -> None:
    read = read_plan(plan)
    ledger = begin(read, tmp_path, only=1)
    (job,) = [row.job for row in ledger.records()]
    path = tmp_path / "cells" / job.key / "result.json"
    write_json(path, written(attack_score("Ann")))
    work_on_cluster(read, ledger, tmp_path, opens(read), client)
    (record,) = ledger.records()
    assert record.result is not None
    assert written(record.result) == written(attack_score("Ann"))
    ledger.close()


def test_what_breaks_down_in_each_try_is_a_failed_job(
    plan: Path, client: Client, tmp_path: Path
) -> None:
    def breaks(_: object) -> None:
        raise RuntimeError("no memory")

    read = replace(read_plan(plan), frames=17)
    ledger = begin(read, tmp_path, only=1)
    work_on_cluster(read, ledger, tmp_path, breaks, client)
    (row,) = ledger.records()
    ledger.close()
    assert (row.state, row.sentence) == (
        "failed",
        "each of 3 tries broke down, the last with RuntimeError: no memory",
    )


def test_a_worker_that_does_not_see_the_faces_ends_the_run_and_fails_no_job(
    plan: Path, client: Client, tmp_path: Path
) -> None:
    read = read_plan(plan)
    ledger = begin(read, tmp_path)
    elsewhere = replace(read.recognizers[0], faces=tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"no readable face folder .*elsewhere: faces must lie at"):
        work_on_cluster(
            replace(read, recognizers=(elsewhere,)), ledger, tmp_path, opens(read), client
        )
    assert {row.state for row in ledger.records()} == {"open"}
    ledger.close()


class Missing:
    """What only this process can import."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return importlib.import_module, ("agns_that_is_not_installed",)

    def __call__(self, _: object) -> Any:
        raise AssertionError("this runs on workers")


def test_a_cluster_without_agns_ends_the_run_and_fails_no_job(
    plan: Path, client: Client, tmp_path: Path
) -> None:
    read = read_plan(plan)
    ledger = begin(read, tmp_path)
    with pytest.raises(DataError, match="the cluster cannot run jobs: "):
        work_on_cluster(read, ledger, tmp_path, Missing(), client)
    assert {row.state for row in ledger.records()} == {"open"}
    ledger.close()


def test_jobs_wait_for_a_worker_that_has_what_they_take_up(
    plan: Path, client: Client, tmp_path: Path
) -> None:
    told: list[str] = []

    def say(sentence: str) -> None:
        told.append(sentence)
        raise KeyboardInterrupt

    read = read_plan(plan)
    ledger = begin(read, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        work_on_cluster(read, ledger, tmp_path, opens(read), client, resources={"GPU": 2}, say=say)
    assert told == ["Waiting for a worker with GPU=2"]
    assert {row.state for row in ledger.records()} == {"open"}
    ledger.close()


def test_no_scheduler_and_no_address_are_a_sentence_each(
    agns: Run, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "_CONNECT_SECONDS", 0.3)
    command = ("campaign", "run", plan, "--out", tmp_path / "out", "--dask")
    nobody = agns(*command, "tcp://127.0.0.1:1")
    assert (nobody.code, nobody.complaint) == (1, "no Dask scheduler answers at tcp://127.0.0.1:1")
    wrong = agns(*command, "ftp://here:1")
    assert wrong.code == 2
    assert wrong.complaint.startswith("ftp://here:1 is no address of a Dask scheduler: ")
    with pytest.raises(ConfigError), connected("here"):
        pass


def test_misuse_is_one_sentence(
    agns: Run, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("campaign", "run", plan, "--out", tmp_path / "out")
    alone = agns(*command, "--dask-resources", "GPU=1")
    assert (alone.code, alone.complaint) == (2, "--dask-resources belongs to --dask")
    for wrong in ("GPU", "GPU=none", "=1", "GPU=0", "GPU=inf"):
        given = agns(*command, "--dask", "local", "--dask-resources", wrong)
        assert given.complaint == f"--dask-resources should be NAME=NUMBER, as GPU=1, got {wrong}"
    both = agns(*command, "--dask", "tcp://10.0.0.5:8786", "--workers", "2")
    assert (both.code, "give --dask local" in both.complaint) == (2, True)
    usual = agns(*command, "--dask", "tcp://10.0.0.5:8786", "--workers", "1")
    assert usual.complaint == both.complaint
    monkeypatch.setitem(sys.modules, "distributed", None)
    missing = agns(*command, "--dask", "local")
    assert (missing.code, missing.complaint.endswith("pip install 'agns[cluster]'")) == (2, True)
    assert not (tmp_path / "out").exists()


def test_a_worker_that_lives_on_opens_a_victim_anew_for_another_device(
    plan: Path, tmp_path: Path
) -> None:
    read = read_plan(plan)
    (victim,) = read.recognizers
    assert victim.faces is not None
    (job, *_) = jobs_of(read, {victim.name: tuple(list_identities(victim.faces))})
    task = cluster_worker.Task(plan=read, job=job, victim=victim, content="", threads=None, agns="")

    def opened(device: str) -> object:
        how = functools.partial(open_for_campaign, plan=read, device=device)
        return cluster_worker._open_once(task, None, how, tmp_path)

    first = opened("cpu")
    assert opened("cpu") is first
    assert opened("auto") is not first


@pytest.fixture(scope="module")
def not_restarted(client: Client) -> Client:
    """Workers that are killed stay away: one for each of these tests, which are the last."""
    for nanny in client.cluster.workers.values():
        nanny.close_gracefully()
    return client


def test_what_a_killed_worker_had_in_work_is_done_by_another(
    plan: Path, not_restarted: Client, whole: list[object], tmp_path: Path, agns: Run
) -> None:
    client = not_restarted
    killed: list[int] = []

    def kill_one_at_work() -> None:
        pids = client.run(os.getpid)
        deadline = time.monotonic() + 60
        while not killed and time.monotonic() < deadline:
            busy = [worker for worker, keys in client.processing().items() if keys]
            if busy:
                os.kill(pids[busy[0]], signal.SIGKILL)
                killed.append(pids[busy[0]])
            time.sleep(0.01)

    killer = threading.Thread(target=kill_one_at_work)
    killer.start()
    done = agns("campaign", "run", plan, "--out", tmp_path / "out", "--dask", address(client))
    killer.join()
    assert done.code == 0, done.err
    assert len(killed) == 1
    assert figures(tmp_path / "out") == whole


def test_a_job_that_ends_its_workers_is_a_failed_job(
    plan: Path, not_restarted: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = not_restarted
    monkeypatch.setattr(client.cluster.scheduler, "allowed_failures", 0)
    read = replace(read_plan(plan), frames=17)
    ledger = begin(read, tmp_path, only=1)
    work_on_cluster(read, ledger, tmp_path, lambda _: os._exit(9), client)
    (row,) = ledger.records()
    ledger.close()
    assert row.state == "failed"
    assert row.sentence is not None
    assert row.sentence.startswith("1 workers were killed one after the other")

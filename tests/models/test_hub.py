"""Networks on the hub, which is a small server on this machine."""

import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import HfApi, constants
from tests.models.conftest import NAMES, RECORD

from agns.errors import ConfigError, WeightsError
from agns.models.recognizer import Recognizer
from agns.models.sharing import locate_weights

COMMIT = "c0ffee" * 6 + "c0de"


@torch.no_grad()
def answer(recognizer: Recognizer) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    return recognizer(torch.rand(2, 3, 96, 96, generator=random))


class Hub(ThreadingHTTPServer):
    """Serves files by repository and revision, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.refusal: tuple[int, str] = (404, "EntryNotFound")

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def hold(self, repository: str, path: Path, revision: str = "main") -> None:
        self.files[f"/{repository}/resolve/{revision}/{path.name}"] = path.read_bytes()

    def paths(self, method: str) -> list[str]:
        """What of repositories was asked for."""
        return [path for asked, path, _ in self.asked if asked == method and "/resolve/" in path]


class Asked(BaseHTTPRequestHandler):
    server: Hub

    def answer(self) -> bytes:
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization")))
        content = self.server.files.get(self.path)
        status, code = (200, "") if content is not None else self.server.refusal
        content = b"" if content is None else content
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        return content

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.wfile.write(self.answer())

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    template = f"{server.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    huggingface_hub.close_session()
    yield server
    server.shutdown()
    server.server_close()
    huggingface_hub.close_session()


def fetch(tmp_path: Path, name: str = "ann/victim", **how: object) -> Recognizer:
    return Recognizer.from_pretrained(name, cache_dir=tmp_path, **{"token": False, **how})


def test_a_network_is_downloaded_by_its_name(
    hub: Hub, folder: Path, recognizer: Recognizer, tmp_path: Path
) -> None:
    hub.hold("ann/victim", folder / "model.safetensors")
    again = fetch(tmp_path)
    assert torch.equal(answer(again), answer(recognizer))
    assert again.record == RECORD
    assert hub.paths("GET") == ["/ann/victim/resolve/main/model.safetensors"]
    assert {authorization for *_, authorization in hub.asked} == {None}


def test_revision_and_token_reach_the_hub(hub: Hub, folder: Path, tmp_path: Path) -> None:
    hub.hold("ann/victim", folder / "model.safetensors", "v2")
    assert fetch(tmp_path, revision="v2", token="hf_of_a_test").identities == NAMES
    assert {authorization for *_, authorization in hub.asked} == {"Bearer hf_of_a_test"}


def test_what_was_downloaded_is_there_without_a_connection(
    hub: Hub, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=r"there is no folder .* is not in the local cache$"):
        fetch(tmp_path, local_files_only=True)
    hub.hold("ann/victim", folder / "model.safetensors")
    fetch(tmp_path)
    asked = len(hub.asked)
    assert fetch(tmp_path, local_files_only=True).identities == NAMES
    assert len(hub.asked) == asked
    fetch(tmp_path, force_download=True)
    assert len(hub.paths("GET")) == 2


def test_a_repository_of_pickles_is_refused_and_not_downloaded(hub: Hub, tmp_path: Path) -> None:
    pickled = tmp_path / "pytorch_model.bin"
    pickled.write_bytes(b"whatever it holds")
    hub.hold("ann/victim", pickled)
    with pytest.raises(WeightsError, match=r"^ann/victim on the hub holds pytorch_model\.bin but"):
        fetch(tmp_path)
    assert hub.paths("GET") == []


@pytest.mark.parametrize(
    ("refusal", "kind", "complaint"),
    [
        ((404, "EntryNotFound"), WeightsError, r"ann/victim on the hub holds no model\.safet"),
        ((404, "RepoNotFound"), ConfigError, "no repository ann/victim on the hub that is open"),
        ((401, "RepoNotFound"), ConfigError, "no repository ann/victim on the hub that is open"),
        ((403, "GatedRepo"), ConfigError, "open only to those whom its owner lets in"),
        ((404, "RevisionNotFound"), ConfigError, "ann/victim on the hub has no revision 'v9'"),
        ((400, ""), WeightsError, "cache, and the hub does not give it: Bad request"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(
    refusal: tuple[int, str], kind: type[Exception], complaint: str, hub: Hub, tmp_path: Path
) -> None:
    hub.refusal = refusal
    with pytest.raises(kind, match=complaint) as raised:
        fetch(tmp_path, revision="v9")
    assert "\n" not in str(raised.value)


def test_a_hub_out_of_reach_is_one_sentence(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    hub.shutdown()
    hub.server_close()
    for how, complaint in (({}, "is not in"), ({"force_download": True}, "cannot be down")):
        with pytest.raises(WeightsError, match=rf"model\.safetensors of ann/victim.* {complaint}"):
            fetch(tmp_path, **how)


def test_a_hub_out_of_reach_is_told_at_once_and_in_our_words_alone(
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", waited.append)
    hub.shutdown()
    hub.server_close()
    with pytest.raises(WeightsError, match=r"local cache, and the hub does not give it: \S+"):
        fetch(tmp_path)
    assert (waited, caplog.records, capsys.readouterr().err) == ([], [], "")


@pytest.mark.parametrize("name", ["./nowhere", "a/b/c", "/no/such/folder"])
def test_a_name_that_is_neither_folder_nor_repository_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is neither a folder here nor the name of a repository"):
        fetch(tmp_path, name)


def test_wishes_that_exclude_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which local_files_only forbids"):
        fetch(tmp_path, force_download=True, local_files_only=True)


def test_pushing_uploads_what_can_be_read_again(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[tuple[object, ...]] = []

    def create_repo(api: HfApi, repo_id: str, **how: object) -> object:
        calls.append((api.token, repo_id, how["private"]))
        return huggingface_hub.RepoUrl(f"{constants.ENDPOINT}/{repo_id}")

    def upload_folder(api: HfApi, *, repo_id: str, folder_path: Path, **how: object) -> str:
        calls.append((api.token, repo_id, how["commit_message"]))
        folder_path.rename(tmp_path / "uploaded")
        folder_path.mkdir()
        return "the commit"

    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
    given = recognizer.push_to_hub(
        "ann/victim", token="hf_of_a_test", private=True, commit_message="Share the victim",
        model_card_kwargs={"repo_id": "ann/victim"},
    )  # fmt: skip
    assert given == "the commit"
    assert calls == [
        ("hf_of_a_test", "ann/victim", True), ("hf_of_a_test", "ann/victim", "Share the victim")
    ]  # fmt: skip
    uploaded = tmp_path / "uploaded"
    assert sorted(path.name for path in uploaded.iterdir()) == [
        "README.md", "config.json", "model.safetensors"
    ]  # fmt: skip
    assert 'from_pretrained("ann/victim")' in (uploaded / "README.md").read_text(encoding="utf-8")
    again = Recognizer.from_pretrained(uploaded)
    assert torch.equal(answer(again), answer(recognizer))
    assert again.record == RECORD


def test_a_command_line_may_name_a_repository(
    hub: Hub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    hub.hold("ann/victim", folder / "model.safetensors")
    found = locate_weights(Path("ann/victim"))
    assert found.read_bytes() == (folder / "model.safetensors").read_bytes()


def test_a_command_line_may_name_a_folder_or_a_file(hub: Hub, folder: Path) -> None:
    weights = folder / "model.safetensors"
    assert locate_weights(folder) == locate_weights(weights) == weights
    assert hub.asked == []


@pytest.mark.parametrize("name", ["none", "none/it.safetensors", "a/b/c", "here/none"])
def test_what_is_nowhere_is_told_without_asking_the_hub(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    with pytest.raises(ConfigError, match=f"there is no weight file {name}"):
        locate_weights(Path(name))
    assert hub.asked == []


def test_a_pipe_is_not_looked_for_on_the_hub(hub: Hub, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="pipe is neither a file nor a folder, but a pipe"):
        locate_weights(tmp_path / "pipe")
    assert hub.asked == []

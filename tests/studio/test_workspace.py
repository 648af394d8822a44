"""What the pages of a server share."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.cli.conftest import folder  # noqa: F401

from agns.errors import ConfigError
from agns.models.gallery import Gallery
from agns.studio.attack_request import AttackRequest
from agns.studio.runs import Run, Runs
from agns.studio.workspace import DLIB, SHIPPED, Workspace

needs_dlib = pytest.mark.skipif(
    find_spec("face_recognition_models") is None, reason="dlib's models are not installed"
)


@needs_dlib
def test_people_of_the_face_folder_are_enrolled_with_dlib_where_it_is_installed(
    tmp_path: Path,
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workspace = Workspace(root=tmp_path / "runs", faces=folder)
    assert workspace.choices == [SHIPPED, DLIB]
    source = workspace.source(DLIB, None)
    victim = workspace.open(source).recognizer
    assert isinstance(victim, Gallery)
    assert set(victim.identities) == set(workspace.subjects(victim))
    assert workspace.source(DLIB, None) == source, "made once"

    def begin(runs: Runs, request: AttackRequest, *, folder: Path | None = None) -> Run:
        assert folder is not None
        kept = str((folder / "recognizer.safetensors").resolve())
        assert request.recognizer == kept
        assert source is not None
        assert Path(kept).read_bytes() == Path(source).read_bytes()
        return Run(folder)

    monkeypatch.setattr(Runs, "begin", begin)
    workspace.begin(AttackRequest(goal="dodge", subject=victim.identities[0], recognizer=source))


@needs_dlib
def test_dlib_needs_two_people_with_two_photos(tmp_path: Path) -> None:
    (tmp_path / "faces" / "Ann").mkdir(parents=True)
    (tmp_path / "faces" / "Ann" / "1.png").touch()
    with pytest.raises(ConfigError, match="no two people with two photos"):
        Workspace(root=tmp_path / "runs", faces=tmp_path / "faces").source(DLIB, None)

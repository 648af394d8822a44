"""Tests that need files which the repository may not hold."""

from pathlib import Path

import pytest

CONFTEST = (Path(__file__).parent / "conftest.py").read_text(encoding="utf-8")


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Three tests, of which two need such a file."""
    monkeypatch.delenv("AGNS_TEST_DATA", raising=False)
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def face(data_path):
            return data_path("data/face.jpg")

        def test_file(data_path): assert data_path("data/face.jpg").is_file()
        def test_fixture(face): assert face.read_text() == "a face"
        def test_none(): pass
        """
    )
    return pytester


def test_tests_without_their_data_are_skipped_counted_and_named(suite: pytest.Pytester) -> None:
    done = suite.runpytest_inprocess("-rs")
    done.assert_outcomes(passed=1, skipped=2)
    done.stdout.fnmatch_lines(
        [
            "* skipped because AGNS_TEST_DATA is not set: 2 *",
            "   2 need data/face.jpg",
            "SKIPPED*this test needs data/face.jpg",
        ]
    )


def test_tests_with_their_data_run_and_can_be_run_alone(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (suite.mkdir("given") / "data").mkdir()
    (suite.path / "given/data/face.jpg").write_text("a face")
    monkeypatch.setenv("AGNS_TEST_DATA", "given")
    suite.runpytest_inprocess("-m", "data").assert_outcomes(passed=2, deselected=1)


def test_a_folder_that_is_not_there_or_lacks_a_file_is_an_error(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGNS_TEST_DATA", "given")
    done = suite.runpytest_inprocess()
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*AGNS_TEST_DATA should name a folder, but given is none"])
    suite.mkdir("given")
    done = suite.runpytest_inprocess()
    done.assert_outcomes(passed=1, failed=1, errors=1)
    done.stdout.fnmatch_lines(["*there is no data/face.jpg in given, which AGNS_TEST_DATA names"])

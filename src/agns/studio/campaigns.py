"""The campaigns in the runs' folder, and their reports."""

from pathlib import Path

from agns.campaign.parts import LEDGER
from agns.campaign.report import report_campaign
from agns.campaign.results import read_results
from agns.errors import ConfigError

REPORT = "report.html"
_LEDGERS = (LEDGER, "part-*.sqlite")


def list_campaigns(root: Path) -> list[str]:
    """Names of the folders in it that hold a campaign, sorted."""
    return sorted(
        folder.name for folder in root.iterdir()
        if folder.is_dir() and any(any(folder.glob(one)) for one in _LEDGERS)
    )  # fmt: skip


def find_campaign(root: Path, name: str) -> Path:
    """The folder of a campaign.

    Raises:
        ConfigError: There is none of this name.
    """
    if name not in list_campaigns(root):
        raise ConfigError("there is no such campaign any more: choose another")
    return root / name


def report_of(folder: Path) -> Path:
    """A campaign's report; written where there is none, or its ledgers are newer.

    Raises:
        AgnsError: As `agns campaign report` does.
    """
    path = folder / REPORT
    written = [file.stat().st_mtime for one in _LEDGERS for file in folder.glob(one)]
    if not path.is_file() or path.stat().st_mtime < max(written, default=0):
        report_campaign(folder, read_results(folder))
    return path

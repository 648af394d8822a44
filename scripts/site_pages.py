"""What lies beside `docs` and belongs to the site: results, plans, examples.

Links between Markdown files are written as the repository has them, so that they also lead
somewhere where a file is read by itself. Here they are turned into the site's.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parents[1]
_BESIDE = ("results", "plans", "examples", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE")
_LINK = re.compile(r"(?<=\]\()[^)#\s:]+(?=[)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that lie beside `docs`."""
    for name in _BESIDE:
        root = _ROOT / name
        for path in [root] if root.is_file() else sorted(root.rglob("*.*")):
            if path.is_file() and "__pycache__" not in path.parts:
                place = path.relative_to(_ROOT).as_posix()
                files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the repository's links into the site's."""
    own = page.file.src_uri
    beside = own.split("/")[0] in _BESIDE
    folder = os.path.dirname(own if beside else f"docs/{own}")

    def turned(link: re.Match[str]) -> str:
        target = os.path.normpath(os.path.join(folder, link[0])).removeprefix("docs/")
        if target not in files.src_uris:
            return link[0]
        return os.path.relpath(target, os.path.dirname(own))

    return _LINK.sub(turned, markdown)

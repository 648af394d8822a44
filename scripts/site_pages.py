"""What the site has beside pages under `docs`: results, plans, examples, notebooks as pages.

Links between Markdown files are written as the repository has them, so that they also lead
somewhere where a file is read by itself. Here they are turned into the site's.
"""

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parents[1]
_BESIDE = ("results", "plans", "examples", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE")
_PICTURES = {"image/jpeg": "jpg", "image/png": "png"}
_LINK = re.compile(r"(?<=\]\()[^)#\s:]+(?=[)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that lie beside `docs`, and a page for each notebook."""
    for path in sorted((_ROOT / "docs" / "notebooks").glob("*.ipynb")):
        place = f"notebooks/{path.stem}"
        page, pictures = _as_page(json.loads(path.read_text(encoding="utf-8")), path.stem)
        files.append(File.generated(config, f"{place}.md", content=page))
        for name, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
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
        if not own.startswith("notebooks/"):
            target = re.sub(r"^(notebooks/.*)\.ipynb$", r"\1.md", target)
        if target not in files.src_uris:
            return link[0]
        return os.path.relpath(target, os.path.dirname(own))

    return _LINK.sub(turned, markdown)


def _as_page(notebook: dict[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """A notebook's cells and outputs as Markdown, and its pictures by the names it has for them."""
    parts, pictures = [], {}
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(re.sub(r"\.ipynb\)", ".md)", text))
            continue
        parts.append(_fenced(text, "python"))
        for output in cell["outputs"]:
            if "text" in output:
                parts.append(_fenced("".join(output["text"]), "text"))
            for kind in _PICTURES.keys() & output.get("data", {}).keys():
                picture = f"{name}-{cell['id']}.{_PICTURES[kind]}"
                pictures[picture] = base64.b64decode("".join(output["data"][kind]))
                parts.append(f"![What the cell above shows]({picture})")
    parts.append(f"This page is a notebook: [{name}.ipynb]({name}.ipynb).")
    return "\n\n".join(parts) + "\n", pictures


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.strip(chr(10))}\n```"

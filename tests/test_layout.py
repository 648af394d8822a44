import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import agns

ROOT = Path(agns.__file__).parent
FLOORS = {
    "errors": 0,
    "file_kinds": 0,
    "types": 0,
    "decoding": 0,
    "images": 0,
    "geometry": 0,
    "object_reference": 0,
    "storage": 0,
    "run_directory": 0,
    "settings": 0,
    "writing": 0,
    "yaml_file": 0,
    "accessory": 1,
    "data": 2,
    "models": 3,
    "training": 4,
    "attack": 5,
    "defence": 5,
    "evaluation": 6,
    "interop": 6,
    "campaign": 7,
    "survey": 7,
    "loading": 8,
    "cli": 9,
    "studio": 9,
    "__main__": 9,
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def is_type_checking(node: ast.If) -> bool:
    return ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def import_nodes(node: ast.AST, *, deferred: bool = True) -> list[ast.Import | ast.ImportFrom]:
    """The imports that run, those inside functions included if `deferred`."""
    found: list[ast.Import | ast.ImportFrom] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            found.append(child)
        elif isinstance(child, ast.If) and is_type_checking(child):
            for statement in child.orelse:
                found += import_nodes(ast.Module([statement], []), deferred=deferred)
        elif deferred or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            found += import_nodes(child, deferred=deferred)
    return found


def imported(module: str, text: str, *, deferred: bool = True) -> set[str]:
    """Modules of agns that a module's source imports."""
    package = module if module in MODULES and MODULES[module].stem == "__init__" else None
    package = package or module.rpartition(".")[0]
    names: set[str] = set()
    for node in import_nodes(ast.parse(text), deferred=deferred):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
            continue
        base = node.module or ""
        if node.level:
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, base] if base else above)
        # `from agns.data import faces` imports a module, where faces is one.
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            names.add(inner if inner in MODULES else base)
    return {name for name in names if name.split(".")[0] == "agns"} - {module}


def floor(module: str) -> int:
    parts = module.split(".")
    return 0 if len(parts) == 1 else FLOORS[parts[1]]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_its_own_floor_or_a_lower_one(module: str) -> None:
    names = imported(module, MODULES[module].read_text(encoding="utf-8"))
    assert {name for name in names if floor(name) > floor(module)} == set()


def test_no_imports_run_in_circles_those_in_functions_included() -> None:
    graph = {
        module: imported(module, path.read_text(encoding="utf-8"))
        for module, path in MODULES.items()
    }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_walk_sees_imports_in_functions_but_not_those_for_type_checking() -> None:
    text = """
from typing import TYPE_CHECKING
import agns.errors
from agns import data
from . import storage
if TYPE_CHECKING:
    from agns.cli import main
else:
    import agns.attack
def late():
    from agns.models.layers import anything
"""
    early = {"agns.errors", "agns.data", "agns.storage", "agns.attack"}
    assert imported("agns.images", text, deferred=False) == early
    assert imported("agns.images", text) == early | {"agns.models.layers"}


@pytest.mark.parametrize("module", ["agns", "agns.cli"])
def test_importing_does_not_load_torch(module: str) -> None:
    code = f"import {module}, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("False", "", 0)

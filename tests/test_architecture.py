"""The folders and imports of the package, held to the table in docs/architecture.md."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "tuneval"
DRAWING = ROOT / "docs" / "architecture.md"
ROW = re.compile(r"^\| `([\w/]+)` \| .+? \| ?(.*?) ?\|$", re.MULTILINE)
GROUND = {"types", "errors", "extras", "registry", "version"}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def table() -> dict[str, str]:
    """Folder -> what it may import, in the words of the table and in its order, top down."""
    text = DRAWING.read_text(encoding="utf-8").split("## The folders", 1)[1].split("\n## ", 1)[0]
    return dict(ROW.findall(text))


def drawn_arrows() -> dict[str, set[str]]:
    """Folder -> folders that it may import, subfolders of what is named included."""
    rows = table()
    order = list(rows)
    arrows = {}
    for here, words in rows.items():
        named = set(re.findall(r"`([\w/]+)`", words))
        if words == "everything below":
            named = set(order[order.index(here) + 1 :])
        else:
            named |= {one for one in order if any(one.startswith(f"{name}/") for name in named)}
        arrows[here] = named
    return arrows


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in SOURCES}


def folder_of(module: str) -> str:
    """The folder that a module lies in ("engine/hf"); "" for the modules on the ground."""
    path = MODULES[module]
    return path.parent.relative_to(PACKAGE).as_posix().removeprefix(".")


def imports_of(path: Path) -> set[str]:
    """The modules of the package that a file imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: write imports absolutely"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in whole}
    return {name for name in found if name in MODULES} - {"tuneval"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_follow_the_drawing(module: str) -> None:
    here = folder_of(module)
    if not here:
        return  # the ground, and the front door, which re-exports lazily
    arrows = drawn_arrows()
    assert here in arrows, f"{here} is not in the table of {DRAWING.name}"
    for imported in imports_of(MODULES[module]):
        there = folder_of(imported)
        if not there:
            assert imported.removeprefix("tuneval.") in GROUND, f"{module} imports {imported}"
            continue
        is_family = there == here or here.startswith(f"{there}/") or there.startswith(f"{here}/")
        assert is_family or there in arrows[here], f"{module} imports {imported}: no such arrow"


def test_the_folders_of_the_drawing_are_those_on_disk() -> None:
    on_disk = {folder_of(module) for module in MODULES} - {""}
    assert set(table()) == on_disk


def test_the_drawing_reads_from_the_top_down() -> None:
    order = list(table())
    for here, below in drawn_arrows().items():
        for there in below - {here}:
            assert order.index(there) > order.index(here), f"{here} may import {there}, above it"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {module: imports_of(path) for module, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import one another: {' -> '.join(error.args[1])}")


def test_few_modules_stand_beside_the_folders() -> None:
    loose = {path.stem for path in SOURCES if path.parent == PACKAGE}
    assert loose == GROUND | {"__init__", "__main__"}


HEAVY = {"torch", "transformers", "peft", "scipy", "sacrebleu", "nltk", "sklearn", "pandas"}


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if path.name == "__init__.py" or path.parent.name == "cli"],
    ids=module_of,
)
def test_front_doors_import_nothing_heavy(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        assert not {name.split(".")[0] for name in names} & HEAVY, module_of(path)


def test_no_drawers_for_odds_and_ends() -> None:
    banned = {"utils.py", "helpers.py", "common.py", "manager.py", "misc.py"}
    assert not [path for path in SOURCES if path.name in banned]

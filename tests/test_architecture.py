"""The imports of the package, held to the arrows drawn in docs/architecture.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "tuneval"
DRAWING = ROOT / "docs" / "architecture.md"
ARROW = re.compile(r"^\| `([\w/*]+)` \| (.+) \|$", re.MULTILINE)


def drawn_arrows() -> dict[str, set[str]]:
    """Place -> places that it may import, from the table "Who may import whom"."""
    text = DRAWING.read_text(encoding="utf-8")
    table = text.split("## Who may import whom", 1)[1].split("\n## ", 1)[0]
    return {
        place: set(re.findall(r"`([\w/*]+)`", targets)) for place, targets in ARROW.findall(table)
    }


def place_of(module: str) -> str:
    """The room (or single module of the corridor) that a dotted module name belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "tuneval"


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: write imports absolutely"
            found.add(node.module)
            if node.module == "tuneval":
                found |= {f"tuneval.{alias.name}" for alias in node.names}
    found.discard("tuneval")
    return {name for name in found if name.startswith("tuneval.")}


SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=[module_of(path) for path in SOURCES])
def test_imports_follow_the_drawing(path: Path) -> None:
    arrows = drawn_arrows()
    here = place_of(module_of(path))
    if here in ("tuneval", "__main__"):
        return  # the package's front door re-exports lazily
    assert here in arrows, f"{here} is not in the table of {DRAWING.name}"
    for module in imports_of(path):
        there = place_of(module)
        if there not in (here, "__version__"):
            assert there in arrows[here], f"{module_of(path)} imports {module}: no such arrow"


def test_every_place_in_the_drawing_exists() -> None:
    for place in drawn_arrows():
        assert (PACKAGE / place).is_dir() or (PACKAGE / f"{place}.py").is_file(), place


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

"""The pages say what the code does: each sentence of a verdict, each command, each key."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tuneval.cli.main import COMMANDS
from tuneval.schemas.page import page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SPOKEN = ("comparison/decision", "comparison/beyond")
FEWEST_WORDS = 5
NO_SENTENCES = {
    "clusters hold several groups: cases were shuffled within clusters",
    "permutation, group against the rest",
    "a metric of ranks cannot be judged by cluster",
    "Welch t, training against test cases",
    "one-sided bound on perturbed - 0.9 clean",
    "one case or cluster: no interval",
}
"""Names of tests and notes of numbers, which stand in tables."""


def said() -> Iterator[str]:
    """Every text of five words or more that the wings of decisions hold, ``…`` for what is filled in."""
    for folder in SPOKEN:
        for path in sorted((ROOT / "src" / "tuneval" / folder).glob("*.py")):
            yield from texts_of(ast.parse(path.read_text(encoding="utf-8")))


def texts_of(tree: ast.Module) -> Iterator[str]:
    left_out: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):  # docstrings
            left_out.add(id(node.value))
        elif isinstance(node, ast.Raise):
            left_out |= {id(one) for one in ast.walk(node)}
        elif isinstance(node, ast.JoinedStr):
            left_out |= {id(one) for one in node.values}
    for node in ast.walk(tree):
        text = "" if id(node) in left_out else skeleton(node)
        if len(re.findall("[A-Za-z]+", text)) >= FEWEST_WORDS:
            yield text


def skeleton(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(one.value) if isinstance(one, ast.Constant) else "…" for one in node.values
        )
    return ""


def explained() -> list[str]:
    """What stands in backticks in the first column of the tables of sentences."""
    text = (DOCS / "verdicts.md").read_text(encoding="utf-8").partition("## Base against tuned")[2]
    cells = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    return [one for cell in cells for one in re.findall("`([^`]+)`", cell)]


@pytest.mark.parametrize("text", sorted(set(said()) - NO_SENTENCES))
def test_every_sentence_of_a_verdict_is_explained(text: str) -> None:
    assert any(bare(one) in bare(text) for one in explained()), f"docs/verdicts.md lacks: {text}"


@pytest.mark.parametrize("sentence", explained())
def test_no_sentence_is_explained_that_is_not_said(sentence: str) -> None:
    assert any(bare(sentence) in bare(text) for text in said()), sentence


def bare(text: str) -> str:
    return re.sub(r"[…\s]+", " ", text).strip()


def test_the_page_of_run_yaml_is_fresh() -> None:
    assert (DOCS / "run_yaml.md").read_text(encoding="utf-8") == page(), (
        "run: python -m tuneval.schemas.page > docs/run_yaml.md"
    )


def test_every_command_has_a_recipe() -> None:
    text = (DOCS / "howto.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert list(sections) == list(COMMANDS)
    for name, section in sections.items():
        assert f"\ntuneval {name}" in section


def test_every_page_stands_in_the_menu() -> None:
    menu = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    named = set(re.findall(r"[\w/]+\.md", str(menu)))
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert named - {"contributing.md", "changelog.md"} == pages


LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    made = {"demo/report.html", "demo/report.png"}
    broken = [
        one for one in LINK.findall(text) if one not in made and not (path.parent / one).exists()
    ]
    assert [one for one in broken if one not in ("contributing.md", "changelog.md")] == []

"""Sides share no group and no copy, keep the labels' shares, and depend on nothing but rows and seed."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import shared_rows
from tuneval.cli.main import exit_code
from tuneval.data.overlap import Text, find_overlap
from tuneval.data.read import read
from tuneval.data.split import split
from tuneval.errors import ConfigError, DataError

WORDS = [
    "amber",
    "basil",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "haven",
    "inlet",
    "jetty",
    "knoll",
    "larch",
    "maple",
    "north",
    "ocean",
]


def rows(n: int, seed: int = 0) -> list[dict[str, Any]]:
    dice = random.Random(seed)
    return [
        {
            "text": f"{' '.join(dice.sample(WORDS, 6))} {at}",
            "label": "rare" if at % 10 == 0 else "usual",
            "user": f"u{at // 4}",
        }
        for at in range(n)
    ]


def written(folder: Path, table: list[dict[str, Any]], name: str = "data.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in table), encoding="utf-8")
    return path


def sides_of(path: Path, **words: Any) -> dict[str, set[str]]:
    made = split(path, test=0.2, validation=0.1, **words)
    return {side: set(lines) for side, lines in made.rows.items()}


def test_shares_of_labels_are_kept_and_every_row_is_somewhere(tmp_path: Path) -> None:
    path = written(tmp_path, rows(200))
    made = split(path, test=0.25, stratify="label")
    assert {side: len(lines) for side, lines in made.rows.items()} == {"train": 150, "test": 50}
    assert made.labels["test"] == {"rare": 5, "usual": 45}
    together = sorted(line for lines in made.rows.values() for line in lines)
    assert together == sorted(path.read_text().splitlines(keepends=True)), "rows stay as they are"


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.randoms(use_true_random=False), seed=st.integers(0, 3))
def test_order_of_rows_does_not_matter(order: Any, seed: int, tmp_path: Path) -> None:
    table = rows(60)
    words: dict[str, Any] = {"stratify": "label", "group": "user", "selection_seed": seed}
    first = sides_of(written(tmp_path, table), **words)
    order.shuffle(table)
    assert sides_of(written(tmp_path, table), **words) == first


def test_another_seed_is_another_choice(tmp_path: Path) -> None:
    path = written(tmp_path, rows(100))
    assert sides_of(path) != sides_of(path, selection_seed=1)


def test_a_group_stands_on_one_side(tmp_path: Path) -> None:
    made = sides_of(written(tmp_path, rows(120)), group="user", stratify="label")
    users = {side: {json.loads(line)["user"] for line in lines} for side, lines in made.items()}
    assert not users["train"] & users["test"]
    assert not users["train"] & users["validation"]
    assert len(made["test"]) == pytest.approx(24, abs=4)


def test_copies_stand_on_one_side(tmp_path: Path) -> None:
    table = rows(60)
    copies = [{**row, "text": row["text"].upper() + "!"} for row in table[:20]]
    made = split(written(tmp_path, table + copies), test=0.3)
    texts = {
        side: {json.loads(line)["text"].casefold().strip("!") for line in lines}
        for side, lines in made.rows.items()
    }
    assert made.n_copies == 20
    assert not texts["train"] & texts["test"]


def test_what_the_reference_is_need_not_be_said(tmp_path: Path) -> None:
    asked = [{"question": r["text"], "answer": r["label"], "solution": "x"} for r in rows(40)]
    path = written(tmp_path, asked)
    with pytest.raises(DataError, match='"answer" may be column "answer" or "solution"'):
        read(path)
    assert sum(map(len, split(path, test=0.2).rows.values())) == len(asked)


def test_no_real_question_is_on_both_sides(tmp_path: Path) -> None:
    table = [
        {"text": row["text"], "label": row["coarse_name"]}
        for row in shared_rows("trec6/train.jsonl.gz")[:1500]
    ]
    made = split(written(tmp_path, table), test=0.2, stratify="label")
    train, test = (
        [Text(f"{side}:{n}", json.loads(line)["text"]) for n, line in enumerate(made.rows[side])]
        for side in ("train", "test")
    )
    assert [one for one in find_overlap(train, test) if one.kind != "run of words"] == []


def test_weights_are_those_of_scikit_learn(tmp_path: Path) -> None:
    sklearn = pytest.importorskip("sklearn.utils.class_weight")
    import numpy as np

    made = split(written(tmp_path, rows(90)), test=0.2, stratify="label")
    labels = [json.loads(line)["label"] for line in made.rows["train"]]
    classes = sorted(set(labels))
    expected = sklearn.compute_class_weight("balanced", classes=np.array(classes), y=labels)
    assert [made.class_weights[one] for one in classes] == pytest.approx(list(expected), abs=1e-12)
    counts = Counter(labels)
    assert made.imbalance_ratio == max(counts.values()) / min(counts.values())


def test_rows_of_a_csv_keep_their_quotes_and_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    body = [f'"{word}, said {n}\nand more",a\n' for n, word in enumerate(WORDS)]
    path.write_text("text,label\n" + "".join(body), encoding="utf-8")
    made = split(path, test=0.2)
    assert made.text("test").startswith("text,label\n")
    assert sorted(line for lines in made.rows.values() for line in lines) == sorted(body)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"test": 0.7, "validation": 0.4}, "leave nothing to train on"),
        ({"test": 0.2, "stratify": "lable"}, 'there is no "lable" (did you mean "label"?)'),
        ({"test": 0.2, "group": "nobody"}, 'as a column there is no "nobody"'),
    ],
)
def test_wrong_words(words: dict[str, Any], expected: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        split(written(tmp_path, rows(20)), **words)
    assert expected in str(caught.value)


def test_one_group_cannot_be_divided(tmp_path: Path) -> None:
    table = [{**row, "user": "same"} for row in rows(10)]
    with pytest.raises(DataError, match="too few independent rows"):
        split(written(tmp_path, table), test=0.2, group="user")


def test_other_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text("[]")
    with pytest.raises(DataError, match="cannot be kept as they are"):
        split(tmp_path / "data.json", test=0.2)


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, rows(50))
    assert exit_code(["split", "data.jsonl", "--stratify", "label", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["rows"] == {"train": 40, "test": 10}
    assert Path("data-split/train.jsonl").read_text().count("\n") == 40
    assert exit_code(["split", "data.jsonl"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert exit_code(["split", "data.jsonl", "--stratify", "label", "--output-dir", "again"]) == 0
    assert "imbalance ratio of the training rows: 9.00" in capsys.readouterr().out
    assert Path("again/test.jsonl").read_text() == Path("data-split/test.jsonl").read_text()

"""run.yaml: what is accepted, and what each wrong one says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tuneval.errors import ConfigError
from tuneval.plan.spec import RunSpec

GOOD = """\
name: support-intents
variants:
  - {name: base, model: ./base}
  - {name: lora, adapter: [./seed0, ./seed1], training_seeds: [0, 1]}
  - {name: full, model: org/full}
baseline: base
cases:
  - file: test.jsonl
    task: classify
    columns: {input: text, reference: label}
    groups: [writer]
metrics: {primary: accuracy, also: [f1_macro]}
perturbations: [typos, {name: long, factor: 3}, "typos:light", "paraphrase:p.jsonl"]
statistics: {resamples: 500}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_what_the_documentation_shows(tmp_path: Path) -> None:
    spec = RunSpec.from_yaml(written(tmp_path, GOOD))
    assert spec.variants[1].adapter == (str(tmp_path / "seed0"), str(tmp_path / "seed1"))
    assert spec.variants[2].model == "org/full", "not a path that is here: stays a hub id"
    assert [(one.name, one.level, one.options) for one in spec.perturbations] == [
        ("typos", None, {}),
        ("long", None, {"factor": 3}),
        ("typos", "light", {}),
        ("paraphrase", None, {"file": str(tmp_path / "p.jsonl")}),
    ]
    assert spec.statistics.resamples == 500


def test_paths_start_at_the_file(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text("{}")
    spec = RunSpec.from_yaml(written(tmp_path, GOOD))
    assert spec.cases[0].file == str(tmp_path / "test.jsonl")
    assert spec.output.dir == str(tmp_path / "tuneval-runs")


def test_writes_what_it_reads(tmp_path: Path) -> None:
    spec = RunSpec.from_yaml(written(tmp_path, GOOD))
    assert RunSpec.from_yaml(written(tmp_path, spec.to_yaml())) == spec


def test_overrides(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    spec = RunSpec.from_yaml(path, ["statistics.resamples=200", "cases.0.limit=5", "name=other"])
    assert (spec.statistics.resamples, spec.cases[0].limit, spec.name) == (200, 5, "other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "run.yaml is empty", id="empty"),
        pytest.param("- a\n- b\n", "expected keys such as", id="a list"),
        pytest.param("variants: [\n", "line 2: not YAML that can be read", id="not YAML"),
        pytest.param(
            GOOD.replace("metrics:", "metricks:"),
            'line 12: metricks: there is no "metricks" (did you mean "metrics"?)',
            id="unknown key at the top",
        ),
        pytest.param(
            GOOD.replace("columns:", "colums:"),
            'line 10: cases.0.colums: there is no "colums" (did you mean "columns"?)',
            id="unknown key inside",
        ),
        pytest.param(
            GOOD.replace("resamples: 500", "resamples: many"),
            'line 14: statistics.resamples: not a whole number (found "many")',
            id="wrong type",
        ),
        pytest.param(
            GOOD.replace("name: full", "name: lora"),
            'two variants are called "lora"',
            id="one name twice",
        ),
        pytest.param(
            GOOD.replace("baseline: base", "baseline: bass"),
            'baseline: there is no "bass" (did you mean "base"?)',
            id="unknown baseline",
        ),
        pytest.param(
            GOOD.replace("{name: full, model: org/full}", "{name: full}"),
            'line 5: variants.2: variant "full" has neither "model" nor "adapter"',
            id="variant without weights",
        ),
        pytest.param(
            GOOD.replace("training_seeds: [0, 1]", "training_seeds: [0]"),
            "names 1 training seeds for 2 adapters",
            id="seeds and adapters differ",
        ),
        pytest.param(
            GOOD + "name: again\n",
            'line 15: key "name" stands twice (first in line 1)',
            id="duplicate key",
        ),
        pytest.param(
            GOOD + "extra: !!python/object/apply:os.system [echo]\n",
            "not YAML that can be read",
            id="object tag",
        ),
        pytest.param(
            "a: &a [x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 8)}]\n"
                for n in range(6)
            ),
            "aliases unfold to more than",
            id="alias bomb",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        RunSpec.from_yaml(written(tmp_path, text))
    assert message in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        RunSpec.from_yaml(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("word", ["nonsense", "=3", "cases.7.limit=3"])
def test_a_wrong_override_is_named(tmp_path: Path, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        RunSpec.from_yaml(written(tmp_path, GOOD), [word])


def test_a_file_of_the_working_directory_is_not_taken_for_one_beside_the_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "out" / "full").mkdir(parents=True)
    (elsewhere / "test.jsonl").touch()
    monkeypatch.chdir(elsewhere)
    text = "variants: [{name: base, model: out/full}, {name: hub, model: org/name}]\n"
    path = written(tmp_path, text + "cases: [{file: test.jsonl}]\n")
    spec = RunSpec.from_yaml(path)
    assert [one.model for one in spec.variants] == [str(tmp_path / "out" / "full"), "org/name"]
    assert spec.cases[0].file == str(tmp_path / "test.jsonl")


def test_an_override_that_is_no_yaml_says_how_to_quote_it(tmp_path: Path) -> None:
    message = (
        '"gates.accuracy=>= 0.9": the value is not YAML that can be read. Quote it: '
        "gates.accuracy=\"'>= 0.9'\""
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        RunSpec.from_yaml(written(tmp_path, GOOD), ["gates.accuracy=>= 0.9"])
    spec = RunSpec.from_yaml(written(tmp_path, GOOD), ["gates.accuracy='>= 0.9'"])
    assert spec.gates == {"accuracy": ">= 0.9"}


@pytest.mark.parametrize(
    ("said", "n_bytes"),
    [
        ("2GB", 2 * 10**9),
        ("500 mb", 500 * 10**6),
        ("1.5GiB", 3 * 2**29),
        ("123456789", 123_456_789),
        ("null", None),
    ],
)
def test_an_amount_of_memory(tmp_path: Path, said: str, n_bytes: int | None) -> None:
    spec = RunSpec.from_yaml(written(tmp_path, f"{GOOD}backend: {{memory: {said}}}\n"))
    assert spec.backend.memory == n_bytes
    assert RunSpec.from_yaml(written(tmp_path, spec.to_yaml())).backend.memory == n_bytes


@pytest.mark.parametrize("said", ["2 parsecs", "much", '"2"', "-1", "0GB"])
def test_no_amount_of_memory(tmp_path: Path, said: str) -> None:
    with pytest.raises(ConfigError, match=r"backend\.memory"):
        RunSpec.from_yaml(written(tmp_path, f"{GOOD}backend: {{memory: {said}}}\n"))

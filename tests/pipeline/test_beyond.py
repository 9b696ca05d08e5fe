"""Groups, calibration, out-of-scope texts and guards through the front doors, on tiny models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tuneval
from pipeline.conftest import Setting, rows, write_rows
from tuneval.api import RunResult
from tuneval.cli.main import exit_code
from tuneval.errors import ConfigError, DataError
from tuneval.types import Finding

Run = Callable[..., RunResult]


def of_kind(result: RunResult, kind: str) -> list[Finding]:
    return [one for one in result.findings if one.kind == kind]


def foreign(path: Path, n: int = 12, column: str = "text") -> Path:
    return write_rows(path, [{column: f"Something else entirely, number {k}"} for k in range(n)])


def test_groups_and_their_crossing_stand_in_run_yaml(run_it: Run, tmp_path: Path) -> None:
    data = [{**row, "channel": "mail" if n % 3 else "chat, form"} for n, row in enumerate(rows(48))]
    file = write_rows(tmp_path / "cases.jsonl", data)
    result = run_it(data=str(file), groups=["writer", "writer+channel"])
    assert result.case_sets[0].cases[0].groups == {
        "writer": "learner",
        "writer+channel": "learner+chat, form",
    }
    found = of_kind(result, "groups")
    assert {(one.variant, one.subject) for one in found} >= {
        (arm, column) for arm in ("base", "lora", "full") for column in ("writer", "writer+channel")
    }
    scores = {(one.variant, one.slice): one for one in result.scores if one.metric == "accuracy"}
    lora = next(one for one in found if (one.variant, one.subject) == ("lora", "writer"))
    for name, n, value, *_ in lora.rows:
        score = scores["lora", f"writer={name}"]
        assert (n, value) == (score.n_cases, pytest.approx(score.value))
    again = tuneval.run(Path(result.output_dir) / "run.yaml")
    assert again.findings == result.findings


def test_a_column_that_a_crossing_lacks_is_named(setting: Setting, tmp_path: Path) -> None:
    with pytest.raises(DataError, match='"chanel"'):
        tuneval.compare(
            str(setting.base), full=str(setting.full), data=str(setting.data),
            groups=["writer+chanel"],
        )  # fmt: skip


def test_probabilities_are_judged_without_being_asked(run_it: Run) -> None:
    found = of_kind(run_it(), "calibration")
    assert [one.variant for one in found] == ["base", "lora", "full", ""]
    assert found[-1].subject == "all arms"
    generated = run_it(options={"scoring": "generate"}, name="generated")
    assert not of_kind(generated, "calibration")


def test_out_of_scope_texts_are_told_apart(run_it: Run, tmp_path: Path) -> None:
    file = foreign(tmp_path / "oos.jsonl")
    result = run_it(ood=[str(file)])
    found = of_kind(result, "out of distribution")
    assert [one.variant for one in found] == ["base", "lora", "full"]
    assert {one.subject for one in found} == {"oos.jsonl"}
    assert all(one.values["n_outside"] == 12 for one in found)
    assert "difference" not in found[0].values
    assert found[1].values["difference"] == pytest.approx(
        found[1].values["auroc"] - found[0].values["auroc"]
    )
    assert [case.references for case in result.case_sets[0].cases if not case.references] == []
    spec = json.loads((Path(result.output_dir) / "result.json").read_text())["spec"]
    assert spec["ood"] == [str(file)]


def test_auroc_is_what_scikit_learn_makes_of_the_answers(run_it: Run, tmp_path: Path) -> None:
    """The same texts as a test set of their own give the probabilities to recompute from."""
    from sklearn.metrics import roc_auc_score, roc_curve

    inside = run_it(ood=[str(foreign(tmp_path / "oos.jsonl"))])
    labelled = [
        {**row, "label": inside.case_sets[0].labels[0]}  # type: ignore[index]
        for row in map(json.loads, (tmp_path / "oos.jsonl").read_text().splitlines())
    ]
    outside = run_it(
        data=str(write_rows(tmp_path / "labelled.jsonl", labelled)),
        labels=list(inside.case_sets[0].labels or ()),
        task="classify",
    )

    def top(result: RunResult, variant: str) -> list[float]:
        return [
            max((one.label_probabilities or {}).values()) for one in result.predictions[variant]
        ]

    for finding in of_kind(inside, "out of distribution"):
        seeds = ["lora-1", "lora-2"] if finding.variant == "lora" else [finding.variant]
        expected = []
        for seed in seeds:
            a, b = top(inside, seed), top(outside, seed)
            truth = np.r_[np.ones(len(a)), np.zeros(len(b))]
            rates, recalls, _ = roc_curve(truth, [*a, *b], drop_intermediate=False)
            expected.append((roc_auc_score(truth, [*a, *b]), rates[recalls >= 0.95].min()))
        found = finding.values["auroc"], finding.values["fpr95"]
        assert found == pytest.approx(tuple(np.mean(expected, axis=0)), abs=1e-9)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ([{"question": "what?"}], {}, r'no text in "text", the column of the texts of test'),
        ([{"text": "a"}, {"text": ""}], {}, r'oos.jsonl, line 2: no text in "text"'),
        ([{"text": "a"}], {"options": {"scoring": "generate"}}, "--ood needs label probabilities"),
        (
            [{"text": "a"}],
            {"template": "{text} by {writer}:"},
            "writer",
        ),
    ],
)
def test_a_wrong_file_stops_before_the_models(
    content: list[dict[str, str]],
    options: dict[str, Any],
    message: str,
    setting: Setting,
    tmp_path: Path,
) -> None:
    file = write_rows(tmp_path / "oos.jsonl", content)

    def announce(plan: object, facts: object, folder: Path) -> None:
        raise AssertionError("the run went on")

    with pytest.raises((ConfigError, DataError), match=message):
        tuneval.compare(
            str(setting.base), full=str(setting.full), data=str(setting.data), ood=[str(file)],
            announce=announce, **options,
        )  # fmt: skip


def test_out_of_scope_needs_labels(setting: Setting, tmp_path: Path) -> None:
    texts = write_rows(tmp_path / "texts.jsonl", [{"text": f"text {n}"} for n in range(5)])
    words = ["compare", str(setting.base), "--full", str(setting.full), "--data", str(texts)]
    assert exit_code([*words, "--ood", str(texts)]) == 2


def test_a_guard_is_judged_for_forgetting_alone(run_it: Run, tmp_path: Path) -> None:
    guard = write_rows(tmp_path / "stories.jsonl", [{"text": row["text"]} for row in rows(40)])
    result = run_it(guards=[str(guard)], metrics=["accuracy"])
    assert [one.is_guard for one in result.case_sets] == [False, True]
    assert result.primary_metrics == {"test": "accuracy", "stories": "perplexity"}
    tuned = [one for one in result.verdicts if one.baseline == "base"]
    assert all(any("on stories" in text for text in (*one.reasons, *one.warnings)) for one in tuned)
    assert not any(
        "Fine-tuning" in text and "perplexity" in text for one in tuned for text in one.reasons
    )
    assert not any("stories" in text for one in result.verdicts[2:] for text in one.reasons)
    loaded = RunResult.load(result.output_dir)
    assert (loaded.headline, loaded.verdicts) == (result.headline, result.verdicts)
    assert {one.case_set for one in result.findings} == {"test"}


def test_a_guard_alone(
    setting: Setting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    guard = write_rows(tmp_path / "stories.jsonl", [{"text": row["text"]} for row in rows(40)])
    result = tuneval.compare(
        str(setting.base), full=str(setting.full), guards=[str(guard)],
        statistics={"resamples": 200},
    )  # fmt: skip
    assert result.headline in {"FORGOT", "NO CHANGE", "INCONCLUSIVE"}
    (verdict,) = result.verdicts
    assert verdict.decision == "undecided"
    assert "stories" in str(result)
    assert "on stories" in " ".join((*verdict.reasons, *verdict.warnings))
    words = ["compare", str(setting.base), "--full", str(setting.full), "--guard", str(guard)]
    assert exit_code(words) == 0
    assert "stories" in capsys.readouterr().out


def test_what_was_learnt_away_is_forgotten(setting: Setting, tmp_path: Path) -> None:
    """A model whose weights were spoiled knows less of what the base had."""
    import torch
    from transformers import AutoModelForCausalLM

    spoiled = tmp_path / "spoiled"
    model = AutoModelForCausalLM.from_pretrained(setting.base)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(6)
    model.save_pretrained(spoiled)
    for file in setting.base.glob("token*"):
        (spoiled / file.name).write_bytes(file.read_bytes())
    guard = write_rows(tmp_path / "stories.jsonl", [{"text": row["text"]} for row in rows(40)])
    result = tuneval.compare(
        str(setting.base), full=str(spoiled), data=str(setting.data), guards=[str(guard)],
        statistics={"resamples": 1000},
    )  # fmt: skip
    (verdict,) = result.verdicts
    assert "FORGOT" in verdict.headline or verdict.headline == "WORSE"
    assert any(
        text.startswith("General ability fell on stories: perplexity rose")
        for text in verdict.warnings
    )


def test_guards_are_asked_whole_while_others_are_drawn(run_it: Run, tmp_path: Path) -> None:
    guard = write_rows(tmp_path / "stories.jsonl", [{"text": row["text"]} for row in rows(40)])
    result = run_it(guards=[str(guard)], statistics={"resamples": 200, "until_decided": True})
    stories = next(one for one in result.scores if one.case_set == "stories")
    assert stories.n_cases == 40
    assert len(result.predictions["base"]) == 24 + 40


def test_losses_that_became_nan_are_a_finding(
    run_it: Run, setting: Setting, tmp_path: Path
) -> None:
    log = tmp_path / "a log of any name.json"
    rows_ = [{"step": 20, "loss": 1.2}, {"step": 40, "loss": 1.1}, {"step": 60, "loss": "NaN"}]
    log.write_text(json.dumps({"log_history": rows_}))
    result = run_it(adapters=[str(setting.adapters[0])], full=[], training_log=str(log))
    (found,) = of_kind(result, "training log")
    assert (found.level, found.values["nan_from_step"]) == ("warning", 60)
    assert found.sentence.startswith("The losses became NaN at step 60; ")
    (verdict,) = result.verdicts
    assert found.sentence in verdict.warnings

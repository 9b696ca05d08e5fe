"""Was each fine-tune trained on the wording of the run? The demo's were, on "Message: ... Topic:"."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tuneval
from pipeline.conftest import Setting, write_rows
from tiny_models import CHAT_TEMPLATE, build_model
from tuneval.api import RunResult
from tuneval.cli.main import exit_code
from tuneval.errors import ConfigError
from tuneval.report.console import render
from tuneval.types import Finding

DEMO = Path(tuneval.__file__).parent / "demo"
TRAINED = "Message: {text}\nTopic:"
FLAG = r"--prompt 'Message: {text}\nTopic:'"
N_CASES, N_REFERENCES = 60, 32


def on_demo(**words: Any) -> RunResult:
    return tuneval.compare(
        str(DEMO / "base"),
        **{
            "adapters": [str(DEMO / "lora-seed0")],
            "data": str(DEMO / "test.jsonl"),
            "limit": N_CASES,
            "statistics": {"resamples": 200},
            **words,
        },
    )


def found_in(result: RunResult) -> list[Finding]:
    return [one for one in result.findings if one.kind == "wording"]


@pytest.fixture(scope="module")
def unasked(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run without any flag."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEVAL_HOME", str(tmp_path_factory.mktemp("home")))
        patch.chdir(tmp_path_factory.mktemp("runs"))
        return on_demo(full=str(DEMO / "full"))


def test_another_wording_is_noticed_without_a_flag(unasked: RunResult) -> None:
    lora, full = found_in(unasked)
    assert (lora.variant, lora.level) == ("lora", "warning")
    assert (full.variant, full.level) == ("full", "warning")
    assert f"may not stand: ask with --prompt auto, or {FLAG}. As " in lora.sentence
    shown = render(unasked)
    assert "may not stand" in " ".join(shown.split())  # on the console, before all other warnings
    here, there, *alike = lora.rows
    assert (here[3], there[3]) == ("as asked here", "the best")
    assert {one[3] for one in alike} <= {"cannot be told from it"}
    assert here[0] not in [one[0] for one in alike]
    assert (here[0], there[0]) == (r'"{text}\nLabel:"', r'"Message: {text}\nTopic:"')
    assert float(there[1] or 0) < float(here[1] or 0) / 2
    (verdict,) = (one for one in unasked.verdicts if one.candidate == "lora")
    assert lora.sentence in verdict.warnings


def test_no_more_than_the_references_are_asked(unasked: RunResult) -> None:
    assert len(unasked.case_sets[0].cases) == N_CASES  # nothing is left out of the test
    lora, _ = found_in(unasked)
    assert lora.values["wordings"] < 200


def test_the_trained_wording_raises_nothing() -> None:
    (lora,) = found_in(on_demo(template=TRAINED))
    assert lora.level == "clear"
    assert lora.sentence.startswith("lora: none of ")


def test_auto_asks_as_trained_on_cases_that_did_not_choose() -> None:
    result = on_demo(prompting={"trial": "take"})
    (note,) = found_in(result)
    cases = result.case_sets[0].cases
    assert len(cases) == N_CASES - N_REFERENCES
    assert note.sentence == (
        r'test: --prompt auto: asked as trained, "Message: {text}\nTopic:"; chosen on 32 of its '
        f"cases, left out of the test. To ask so again: {FLAG}"
    )
    assert f"#   {note.sentence}" in (Path(result.output_dir) / "run.yaml").read_text()
    assert {one.text[:12] for one in result.prompts} == {"<s>Message: "}  # as asked, not as begun
    same = on_demo(template=TRAINED)
    told = dict(
        zip((one.id for one in same.case_sets[0].cases), same.predictions["lora"], strict=True)
    )
    assert list(result.predictions["lora"]) == [told[case.id] for case in cases]
    again = tuneval.run(Path(result.output_dir) / "run.yaml")
    assert (again.scores, again.case_sets[0].cases) == (result.scores, cases)


def test_auto_on_training_rows_leaves_the_test_whole() -> None:
    result = on_demo(prompting={"trial": "take"}, train_data=str(DEMO / "train.jsonl"))
    (note,) = found_in(result)
    assert "asked as trained" in note.sentence
    assert "chosen on rows of" in note.sentence
    assert len(result.case_sets[0].cases) == N_CASES


def test_auto_keeps_a_wording_that_is_right() -> None:
    result = on_demo(prompting={"trial": "take"}, template=TRAINED)
    (note,) = found_in(result)
    assert note.sentence.startswith("test: --prompt auto: the wording stays as it was, ")


def test_what_the_training_file_says_is_tried(tmp_path: Path) -> None:
    """Its rows are worded as nobody else would; the fine-tune was not trained on it, so that being
    tried shows in the number of wordings alone."""
    rows = [json.loads(line) for line in (DEMO / "train.jsonl").read_text().splitlines()[:20]]
    told = write_rows(
        tmp_path / "told.jsonl",
        [{"prompt": f"<<{row['text']} >>\n~~", "completion": row["label"]} for row in rows],
    )
    adapter = tmp_path / "out"
    adapter.mkdir()
    for file in (DEMO / "lora-seed0").iterdir():
        (adapter / file.name).write_bytes(file.read_bytes())
    (plain,) = found_in(on_demo(adapters=[str(adapter)], template=TRAINED))
    (adapter / "axolotl.yaml").write_text(f"base_model: m\ndatasets: [{{path: {told}}}]")
    (with_evidence,) = found_in(on_demo(adapters=[str(adapter)], template=TRAINED))
    assert with_evidence.values["wordings"] == plain.values["wordings"] + 1


def test_a_logged_loss_far_below_is_told(tmp_path: Path) -> None:
    adapter = tmp_path / "out"
    adapter.mkdir()
    for file in (DEMO / "lora-seed0").iterdir():
        (adapter / file.name).write_bytes(file.read_bytes())
    log = [{"step": 1, "loss": 0.001, "eval_loss": 0.001}]
    (adapter / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    hard = write_rows(  # labels that no wording makes likely
        tmp_path / "hard.jsonl",
        [{"text": f"Word {n} of many", "label": ("zxqv", "jkwp")[n % 2]} for n in range(20)],
    )
    (lora,) = found_in(on_demo(adapters=[str(adapter)], data=str(hard), limit=None))
    assert lora.level in ("unclear", "warning")


def test_the_trained_wording_is_among_those_that_cannot_be_told_apart(tmp_path: Path) -> None:
    """Another word before the text is as good as "Message:" to the demo's adapter, or nearly so."""
    (lora,) = found_in(on_demo(template="Text: {text}\nTopic:"))
    shown_words = [row[0] for row in lora.rows if row[3] != "as asked here"]
    assert r'"Message: {text}\nTopic:"' in shown_words


def test_multiple_choice_is_tried_too(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (DEMO / "test.jsonl").read_text().splitlines()[:40]]
    labels = sorted({row["label"] for row in rows})
    asked = [
        {"question": row["text"], "choices": labels, "answer": labels.index(row["label"])}
        for row in rows
    ]
    data = write_rows(tmp_path / "choices.jsonl", asked)
    (lora,) = found_in(on_demo(data=str(data)))
    assert lora.values["wordings"] > 20
    text_scored = on_demo(data=str(data), options={"scoring": "text"})
    (lora,) = found_in(text_scored)
    assert r"{question}\n{choices}" not in lora.sentence
    (note,) = found_in(on_demo(data=str(data), prompting={"trial": "take"}))
    assert note.sentence.startswith("choices: --prompt auto: ")


def test_a_template_of_the_base_that_was_not_tried_is_named(
    tmp_path: Path, setting: Setting
) -> None:
    base = build_model(tmp_path / "base", chat=True, max_position_embeddings=256)
    full = build_model(tmp_path / "full", seed=5, chat=True, max_position_embeddings=256)
    words: dict[str, Any] = {"full": str(full), "data": str(setting.data)}
    (found,) = found_in(tuneval.compare(str(base), **words, statistics={"resamples": 200}))
    assert "not tried" not in found.sentence
    (full / "chat_template.jinja").write_text(f"<s>{CHAT_TEMPLATE}", encoding="utf-8")
    (found,) = found_in(tuneval.compare(str(base), **words, statistics={"resamples": 200}))
    assert found.sentence.endswith("The base has another chat template, which was not tried.")


def test_off(run_it: Callable[..., RunResult]) -> None:
    assert not found_in(run_it(prompting={"trial": "none"}))


def test_a_template_that_refuses_a_system_turn(tmp_path: Path, setting: Setting) -> None:
    base = build_model(tmp_path / "base", chat=True, max_position_embeddings=256)
    refusing = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        f"{CHAT_TEMPLATE}"
    )
    for folder in (
        base,
        build_model(tmp_path / "full", seed=5, chat=True, max_position_embeddings=256),
    ):
        (folder / "chat_template.jinja").write_text(refusing, encoding="utf-8")
    result = tuneval.compare(
        str(base),
        full=str(tmp_path / "full"),
        data=str(setting.data),
        statistics={"resamples": 200},
    )
    (found,) = found_in(result)
    assert "chat template" in found.sentence
    assert "system turn" not in found.sentence


def test_training_rows_without_a_column_of_the_test_are_not_asked(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (DEMO / "train.jsonl").read_text().splitlines()[:40]]
    bare = [{"text": row["text"], "label": row["label"]} for row in rows]
    train = write_rows(tmp_path / "train.jsonl", bare)
    asked = {"template": "{channel}: {text}\nTopic:", "train_data": str(train)}
    result = on_demo(**asked, prompting={"trial": "take"})
    assert len(result.case_sets[0].cases) == N_CASES - N_REFERENCES


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"limit": 12}, "12 references are fewer than 16"),
        ({"adapters": []}, "there is no fine-tune to try wordings on"),
        ({"task": "language_model"}, "no test file asks for labels, choices or free text"),
        (
            {"few_shot": 2, "few_shot_file": str(DEMO / "train.jsonl")},
            "examples stand before every question, and fine-tunes were trained without",
        ),
    ],
)
def test_auto_where_nothing_can_be_tried(words: dict[str, Any], message: str) -> None:
    assert not found_in(on_demo(**words))
    with pytest.raises(ConfigError) as error:
        on_demo(prompting={"trial": "take"}, **words)
    assert str(error.value) == (
        f"--prompt auto: {message}. Give the trained wording with --prompt."
    )


def test_the_flags(setting: Setting, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", str(setting.base), "--full", str(setting.full), "--data", str(setting.data)]
    assert exit_code([*words, "--prompt", "auto", "--no-prompt-trial"]) == 2
    assert (
        "--prompt auto needs the trial that --no-prompt-trial turns off." in capsys.readouterr().err
    )
    assert exit_code([*words, "--no-prompt-trial", "--quiet"]) == 0
    run = next(Path("tuneval-runs").glob("*/run.yaml")).read_text()
    assert "  trial: none\n" in run

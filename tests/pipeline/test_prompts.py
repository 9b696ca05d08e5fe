"""The prompt is seen before the first case, in every file of the run, and refused where it is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tuneval
from pipeline.conftest import Setting, write_rows
from tiny_models import build_model, edit_json
from tuneval.cli.main import exit_code
from tuneval.errors import DataError
from tuneval.pipeline.prompts import template_of
from tuneval.report.results_json import read
from tuneval.types import Case, Message, Request

Run = Callable[..., tuneval.RunResult]


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tune with a chat template, which draws by its own settings."""
    folder = build_model(tmp_path_factory.mktemp("chatty") / "chat", chat=True, seed=3)
    settings = {"do_sample": True, "temperature": 0.7, "repetition_penalty": 1.1, "top_p": 1.0}
    edit_json(folder / "generation_config.json", **settings)
    return folder


PLAIN = [
    "test.jsonl:1, as base reads it:",
    "| The lazy dog number 0 jumps over",
    "| Label:",
    'scored after it: " negative", and 2 more',
]
CHAT = [
    "test.jsonl:1, as chat reads it:",
    "| <|user|>The lazy dog number 0 jumps over",
    "| Label:",
    "| <|assistant|>",
    'scored after it: "negative", and 2 more',
]
WORDED = r'worded by tuneval, since no --prompt was given: "{text}\nLabel:"'


def _lines(said: str) -> list[str]:
    return [line.removeprefix("  prompt  ").strip() for line in said.splitlines()]


def test_doctor_shows_the_first_case_as_every_variant_reads_it(
    setting: Setting, chatty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["doctor", setting.base, "--full", f"chat={chatty}", "--data", setting.data]
    assert exit_code(list(map(str, words))) == 0
    lines = _lines(capsys.readouterr().out)
    start = lines.index(PLAIN[0])
    assert lines[start : start + 10] == [*PLAIN, *CHAT, WORDED]
    assert exit_code([*map(str, words), "--prompt", "{text} =>", "--chat-template", "off"]) == 0
    said = capsys.readouterr().out
    assert "as every variant reads it:" in said
    assert 'worded by --prompt: "{text} =>"' in said


def test_doctor_shows_prompts_without_torch(setting: Setting) -> None:
    script = (
        "import sys; sys.path[:0] = sys.argv[1].split('|')\n"
        "from tuneval.cli.main import exit_code\n"
        "code = exit_code(['doctor', *sys.argv[2:]])\n"
        "sys.exit(code or 'torch' in sys.modules or 'transformers' in sys.modules)"
    )
    words = [str(setting.base), "--data", str(setting.data)]
    done = subprocess.run(
        [sys.executable, "-c", script, "|".join(sys.path), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "every variant reads it:" in done.stdout


def test_every_file_of_a_run_holds_the_prompts(setting: Setting, chatty: Path, run_it: Run) -> None:
    said: list[str] = []
    result = run_it(
        adapters=(),
        full={"chat": str(chatty)},
        announce=lambda plan, facts, folder: said.extend(plan.first_prompts if facts else ()),
    )
    assert said == [*PLAIN, *CHAT, WORDED]
    folder = Path(result.output_dir)
    comments = (folder / "run.yaml").read_text().splitlines()
    start = comments.index(f"#   {PLAIN[0]}")
    assert comments[start : start + len(said)] == [f"#   {line}" for line in said]
    prompts = [json.loads(line) for line in (folder / "prompts.jsonl").read_text().splitlines()]
    assert [one["prompt"] for one in prompts] == list(range(48))  # 24 cases, read in two ways
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    for row in rows:
        text = f"{row['input']}\nLabel:"
        is_chat = row["variant"] == "chat"
        expected = f"<|user|>{text}\n<|assistant|>" if is_chat else text
        assert prompts[row["prompt"]]["text"] == expected
    assert read(folder / "result.json").prompts == result.prompts


def test_variants_that_read_alike_share_their_prompts(run_it: Run) -> None:
    result = run_it(full=())
    assert len(result.prompts) == 24
    assert len(set(result.prompt_places.values())) == 1
    assert result.prompt_places["base"] == tuple(range(24))


LONG = "The quick brown fox jumps over the lazy dog. " * 20
LOST = (
    "Prompts that are longer than the context lose their question.\n"
    "    long.jsonl:1 for base: 178 tokens do not fit\n"
    "    long.jsonl:2 for base: 178 tokens do not fit\n"
    "Leave these rows out, show fewer examples (--few-shot), draw less (--max-tokens), or take them "
    "as they are with --allow-lost-questions."
)


def test_a_question_that_does_not_reach_the_model_is_an_error(
    setting: Setting, tmp_path: Path, run_it: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prompt": LONG, "completion": f" {word}"} for word in ("Paris", "a girl")]
    data = write_rows(tmp_path / "long.jsonl", rows)
    options: dict[str, Any] = {
        "data": str(data),
        "adapters": (),
        "full": (),
        "task": "generate",
        "options": {"max_tokens": 8},
    }
    with pytest.raises(DataError) as caught:
        run_it(**options)
    n_cut = next(word for word in str(caught.value).split() if word.isdigit())
    assert str(caught.value) == LOST.replace("178", n_cut)
    words = ["doctor", setting.base, "--data", data, "--task", "generate", "--max-tokens", "8"]
    assert exit_code(list(map(str, words))) == 2
    assert "lose their question" in capsys.readouterr().out
    allowed = run_it(**options, prompting={"allow_lost_questions": True})
    told = "base: 2 of 2 prompts do not fit and are cut, 2 of them have lost their question"
    assert told in allowed.notes


def test_the_middle_of_a_long_message_goes_and_is_told(tmp_path: Path, run_it: Run) -> None:
    rows = [{"text": f"{LONG}{n}", "label": word} for n, word in enumerate(["login", "refund"] * 6)]
    data = write_rows(tmp_path / "long.jsonl", rows)
    result = run_it(data=str(data), adapters=(), full=())
    for one in result.prompts:
        assert one.text.startswith("The quick brown fox")
        assert " [...] " in one.text
        assert one.text.endswith("\nLabel:")
    (cut,) = (one for one in result.findings if one.kind == "cuts")
    assert (cut.variant, cut.subject, cut.level) == ("base", "prompts", "warning")
    assert cut.sentence.startswith("base: 12 of 12 prompts were cut to fit the context; ")


def test_settings_of_the_folder_that_are_not_used_are_named(
    chatty: Path, setting: Setting, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    note = (
        "base: generation_config.json asks for repetition_penalty 1.1, temperature 0.7: not used, "
        "every variant draws alike (the likeliest token)"
    )
    for extra, is_told in (([], False), (["--scoring", "generate", "--max-tokens", "4"], True)):
        words = ["doctor", chatty, "--data", setting.data, *extra]
        assert exit_code(list(map(str, words))) == 0
        assert (note in capsys.readouterr().out) is is_told


def _ask(prompt: str | tuple[Message, ...]) -> Request:
    return Request("r", "c", prompt, continuation="x")


@pytest.mark.parametrize(
    ("inputs", "prompt", "template"),
    [
        ({"text": "hi"}, (Message("user", "hi\nLabel:"),), "{text}\nLabel:"),
        ({"text": "text"}, (Message("user", "text: text"),), "text: {text}"),
        (
            {"question": "Who?", "context": "Who? Ann."},
            "Who? Ann.\n\nQuestion: Who?\nAnswer:",
            "{context}\n\nQuestion: {question}\nAnswer:",
        ),
        ({"text": "hi", "order": 1000}, "hi #1000", "{text} #{order}"),
        ({"messages": (Message("user", "hi"),), "text": "hi"}, (Message("user", "hi"),), None),
        ({"text": "hi"}, "always the same", None),
    ],
)
def test_the_wording_is_told_as_a_template(inputs, prompt, template) -> None:
    assert template_of(Case("c", inputs), _ask(prompt)) == template

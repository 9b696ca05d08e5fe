"""Runs behind a server: how it is asked is chosen by what it can, and said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx2", reason="the server extra is not installed")

from engine.fake_server import Fake, serving
from pipeline.conftest import write_rows
from tuneval.api import compare
from tuneval.errors import BackendUnavailable
from tuneval.types import RunResult

LABELLED = [{"text": f"note {n}", "label": ("billing", "login")[n % 2]} for n in range(8)]
WORDED = [{"instruction": f"Say {n}.", "output": "billing"} for n in range(8)]


def run(fake: Fake, folder: Path, rows: list[dict[str, Any]], **words: Any) -> RunResult:
    data = write_rows(folder / "test.jsonl", rows)
    backend = {"kind": "openai", "base_url": fake.url, **words.pop("backend", {})}
    statistics = {"resamples": 200}
    return compare(
        "small", adapters="tuned", data=str(data), backend=backend, statistics=statistics, **words
    )


def chosen(result: RunResult) -> dict[str, Any]:
    options: dict[str, Any] = result.spec["cases"][0]["options"]
    return options


@pytest.mark.parametrize(
    ("rows", "settings", "options", "note"),
    [
        (LABELLED, {}, {"prompt_style": "text"}, "asked by one text, without chat template"),
        (LABELLED, {"refuses": ("chat",)}, {"prompt_style": "text"}, "asked by one text"),
        (LABELLED, {"has_logprobs": False}, {"scoring": "generate"}, "written, not scored"),
        (LABELLED, {"slip": 1}, {"scoring": "generate"}, "and echoes it at"),
        (
            LABELLED,
            {"has_logprobs": False, "refuses": ("chat",)},
            {"scoring": "generate", "prompt_style": "text"},
            "takes no chat messages",
        ),
        (WORDED, {}, {}, ""),
        (WORDED, {"refuses": ("texts",)}, {}, ""),
        (WORDED, {"refuses": ("chat",)}, {"prompt_style": "text"}, "asked by one text"),
    ],
    ids=[
        "scored by text", "base without template", "no log-probabilities", "a wrong echo",
        "texts only", "messages", "messages only", "written by text",
    ],
)  # fmt: skip
def test_scoring_and_prompt_style_are_what_the_server_can(
    tmp_path: Path,
    rows: list[dict[str, Any]],
    settings: dict[str, Any],
    options: dict[str, Any],
    note: str,
) -> None:
    with serving(**settings) as fake:
        result = run(fake, tmp_path, rows)
    assert result.is_complete, result.problems
    assert chosen(result) == options
    assert any(note in one for one in result.notes)
    written = (Path(result.output_dir) / "run.yaml").read_text()
    assert all(f"{name}: {value}" in written for name, value in options.items())


def test_what_was_said_is_not_changed(tmp_path: Path) -> None:
    with (
        serving(has_logprobs=False) as fake,
        pytest.raises(BackendUnavailable, match="returned no log-probabilities"),
    ):
        run(fake, tmp_path, LABELLED, options={"scoring": "likelihood", "prompt_style": "text"})


def test_with_a_tokenizer_labels_are_scored_after_chat_messages(tmp_path: Path) -> None:
    from tiny_models import build_tokenizer

    tokenizer = build_tokenizer(chat=True)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    config = {"max_position_embeddings": 256}
    (tmp_path / "tokenizer" / "config.json").write_text(json.dumps(config))
    with serving(tokenizer=tokenizer, refuses=("chat",)) as fake:
        backend = {"tokenizers": str(tmp_path / "tokenizer")}
        result = run(fake, tmp_path, LABELLED, backend=backend)
    assert result.is_complete, result.problems
    assert chosen(result) == {}
    assert [one.prompt_format for one in result.facts] == ["own chat template"] * 2
    assert all("<|assistant|>" in prompt.text for prompt in result.prompts)
    assert all(one["path"] == "/v1/completions" for one in fake.seen)


def test_the_words_of_the_command_line_reach_the_server(tmp_path: Path) -> None:
    import inspect

    from tuneval.cli.options import _words, to_options

    words = {
        name: one.default
        for name, one in inspect.signature(_words, eval_str=True).parameters.items()
    }
    words |= {"tokenizer": ["tok", "lora=own"], "prompt_style": "text", "base_url": "http://h/v1"}
    options = to_options(words)
    assert options["backend"]["tokenizers"] == {"*": "tok", "lora": "own"}
    assert options["cases"]["options"] == {"prompt_style": "text"}

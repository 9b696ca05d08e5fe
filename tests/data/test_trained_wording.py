"""What training files and folders say of the wording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tuneval.data.trained_wording import TrainedWording, named_files, of_file, of_folder

TEXTS = [
    "An ant came.", "Did bees hum", "the cow", "Dogs bark!", "elks?", "A fox, red", "Gnus; many",
    "hens lay (daily)",
]  # fmt: skip
LABELS = ["yes", "no"] * 4


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def prompt_rows() -> list[dict[str, Any]]:
    return [
        {"prompt": f"Note: {text}\nTrue:", "completion": f" {label}"}
        for text, label in zip(TEXTS, LABELS, strict=True)
    ]


def chat_rows(system: str | None, after: str = "") -> list[dict[str, Any]]:
    told = [{"role": "system", "content": system}] if system else []
    return [
        {
            "messages": [
                *told,
                {"role": "user", "content": f"{text}{after}"},
                {"role": "assistant", "content": label},
            ]
        }
        for text, label in zip(TEXTS, LABELS, strict=True)
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (prompt_rows(), [("Note: ", "\nTrue:", None, False)]),
        (
            [
                {"text": f"Q: {text} A: {label}"}
                for text, label in zip(TEXTS, LABELS, strict=True)
            ],
            [("Q: ", " A:", None, False)],
        ),
        (chat_rows("Be brief."), [("", "", "Be brief.", True)]),
        (chat_rows(None, "\nYes or no?"), [("", "\nYes or no?", None, True)]),
        (
            [{"text": t, "label": label} for t, label in zip(TEXTS, LABELS, strict=True)],
            [],
        ),
        (prompt_rows()[:4], []),  # too few to tell words in common from chance
        ([{"something": 1}], []),
    ],
    ids=["prompts", "whole texts", "chat", "chat with a cue", "as tested", "few", "foreign"],
)  # fmt: skip
def test_of_file(tmp_path: Path, rows: list[dict[str, Any]], expected: list[Any]) -> None:
    file = write(tmp_path / "train.jsonl", rows)
    assert of_file(file, ("yes", "no")) == tuple(
        TrainedWording(*one, source="train.jsonl") for one in expected
    )


LONG = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n### Instruction:\n"
)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "axolotl_config.yaml", "base_model: m\ndatasets: [{path: d.jsonl, type: alpaca}]",
            [(LONG, "\n\n### Response:\n", None, False), ("### Instruction:\n", "\n\n### Response:\n", None, False)],
        ),
        (
            "config.yml", "base_model: m\ndatasets: [{path: d, type: chat_template}]",
            [("", "", None, True)],
        ),
        (
            "c.yml",
            'base_model: m\ndatasets: [{type: {format: "[INST] {instruction} [/INST]", system_prompt: Hi}}]',
            [("[INST] ", " [/INST]", "Hi", False)],
        ),
        ("c.yaml", "finetuning_type: lora\ntemplate: vicuna", [("USER: ", " ASSISTANT:", None, False)]),
        ("c.yaml", "finetuning_type: lora\ntemplate: llama3", [("", "", None, True)]),
        ("chat_template.jinja", "{{ x }}", [("", "", None, True)]),
        ("c.yaml", "!!python/object/apply:os.system [false]", []),
        ("c.yaml", "template: vicuna", []),  # some other program's
        ("c.yaml", "[1, 2", []),
        ("c.yaml", "base_model: m\ndatasets: 3", []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("depth", ["here", "above"])
def test_of_folder(tmp_path: Path, name: str, text: str, expected: list[Any], depth: str) -> None:
    folder = tmp_path / "out" / "checkpoint-3"
    folder.mkdir(parents=True)
    is_above = depth == "above" and name != "chat_template.jinja"
    (folder.parent if is_above else folder).joinpath(name).write_text(text, encoding="utf-8")
    assert of_folder(folder) == tuple(TrainedWording(*one, source=name) for one in expected)


def test_a_hub_id_is_no_folder() -> None:
    assert (of_folder("owner/name"), named_files("owner/name")) == ((), ())


def test_files_that_the_settings_name(tmp_path: Path) -> None:
    file = write(tmp_path / "d.jsonl", prompt_rows())
    settings = "base_model: m\ndatasets: [{path: d.jsonl}, {path: gone.jsonl}, {path: owner/set}]"
    (tmp_path / "config.yaml").write_text(settings, encoding="utf-8")
    assert named_files(tmp_path) == (file,)

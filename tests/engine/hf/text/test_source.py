"""What an encoder reads and how a decoder begins: ids, cuts, and the text shown."""

from __future__ import annotations

import pytest

from tiny_seq2seq import build_tokenizer
from tuneval.engine.hf.text.shown import shown
from tuneval.engine.hf.text.source import SourceRenderer, Start, start_of
from tuneval.errors import VariantError
from tuneval.types import Decoding, Message, Request

TOKENIZER, BART = build_tokenizer(), build_tokenizer(bart=True)
PAD, END, BEGIN = 0, 1, 2


def renderer(*, tokenizer=TOKENIZER, start=Start((PAD,)), length=64, **options):  # noqa: B008
    return SourceRenderer(tokenizer, template=None, context_length=length, start=start, **options)


def scored(prompt, continuation="Paris"):
    return Request("s", "c", prompt, continuation=continuation)


def drawn(prompt, n=8):
    return Request("d", "c", prompt, decoding=Decoding(max_tokens=n))


def ids_of(text, tokenizer=TOKENIZER, **options):
    return tuple(tokenizer(text, **options)["input_ids"])


def test_both_kinds_read_the_same_text() -> None:
    turns = (Message("user", "Question: capital of France?\nAnswer:"),)
    reader = renderer()
    (scoring,), (prompt,) = reader.scorings([scored(turns)]), reader.prompts([drawn(turns)])
    expected = ids_of("Question: capital of France?\nAnswer:")
    assert scoring.windows[0].source == prompt.source == expected
    assert expected[-1] == END
    assert prompt.ids == (PAD,)
    assert scoring.windows[0].ids == (PAD, *ids_of("Paris")[:-1])
    assert scoring.windows[0].n_scored == len(ids_of("Paris")) - 1


@pytest.mark.parametrize("continuation", ["Paris", " Paris", "\nParis\n"])
def test_an_answer_begins_without_white_space(continuation) -> None:
    (scoring,) = renderer().scorings([scored("capital of France", continuation)])
    assert scoring.windows[0].ids == (PAD, *ids_of("Paris")[:-1])


@pytest.mark.parametrize(
    ("start", "scored_start", "drawn_start"),
    [
        pytest.param(Start((END,)), (END, BEGIN), (END,), id="targets begin with a token"),
        pytest.param(Start((END, 9), is_forced=True), (END, 9), (END, 9), id="a forced one"),
    ],
)
def test_decoders_of_barts_kind(start, scored_start, drawn_start) -> None:
    reader = renderer(tokenizer=BART, start=start)
    (window,) = reader.scorings([scored("France")])[0].windows
    assert window.ids[: len(scored_start)] == scored_start
    assert window.n_scored == len(window.ids) - len(scored_start)
    assert reader.prompts([drawn("France")])[0].ids == drawn_start
    assert window.source == ids_of("France", BART)


def test_a_long_text_loses_its_end_and_it_is_told() -> None:
    text = "Once upon a time there was a little girl. " * 8
    reader = renderer(length=16)
    (scoring,) = reader.scorings([scored(text)])
    expected = ids_of(text, truncation=True, max_length=16)
    assert scoring.windows[0].source == expected
    assert scoring.is_truncated and scoring.n_prompt == 16
    assert reader.prompts([drawn(text)])[0].is_truncated
    (view,) = shown(reader, [drawn(text)])
    n_kept = len(ids_of(text, add_special_tokens=False)) - 15
    assert view.n_cut == n_kept
    assert view.text == text[: view.cut_at] + "</s><pad>"
    assert ids_of(text[: view.cut_at]) == expected


def test_a_short_text_is_not_cut() -> None:
    (view,) = shown(renderer(), [scored("Question: why?", " because")])
    assert view.text == "Question: why?</s><pad>"
    assert (view.continuation, view.n_cut, view.cut_at) == ("because", 0, None)
    (view,) = shown(renderer(tokenizer=BART, start=Start((END,))), [scored("why?")])
    assert view.text == "<s>why?</s></s><s>"


def test_an_empty_prompt_is_an_end_token() -> None:
    assert renderer().prompts([drawn("")])[0].source == (END,)


def test_long_answers_are_scored_at_once_where_positions_are_relative() -> None:
    answer = "Once upon a time there was a little girl. " * 8
    (scoring,) = renderer(length=16).scorings([scored("tell", answer)])
    assert scoring.windows[0].ids == (PAD, *ids_of(answer.strip())[:-1])
    assert renderer(length=16).prompts([drawn("tell", 99)])[0].max_tokens == 99
    assert renderer(length=16, longest_answer=16).prompts([drawn("x", 99)])[0].max_tokens == 15


def test_long_answers_are_scored_in_windows() -> None:
    answer = "Once upon a time there was a little girl. " * 8
    reader = renderer(length=16, longest_answer=16)
    (scoring,) = reader.scorings([scored("tell", answer)])
    assert len(scoring.windows) > 1
    n = len(ids_of(answer.strip(), add_special_tokens=False))
    assert sum(window.n_scored for window in scoring.windows) == n > 16
    assert {window.source for window in scoring.windows} == {ids_of("tell")}
    assert not scoring.is_truncated


@pytest.mark.parametrize(
    ("config", "generation", "expected"),
    [
        ({"decoder_start_token_id": 3}, {}, Start((3,))),
        pytest.param(
            {"decoder_start_token_id": 3}, {"decoder_start_token_id": 4}, Start((4,)),
            id="generation_config.json goes first",
        ),
        ({"bos_token_id": 5, "pad_token_id": 0}, {}, Start((5,))),
        pytest.param({"model_type": "t5", "pad_token_id": 0}, {}, Start((0,)), id="T5's own"),
        (
            {"decoder_start_token_id": 2},
            {"forced_bos_token_id": 7},
            Start((2, 7), is_forced=True),
        ),
    ],
)  # fmt: skip
def test_how_a_decoder_begins(config, generation, expected) -> None:
    assert start_of(config, generation, TOKENIZER, "model") == expected


def test_a_folder_that_names_no_beginning_is_refused() -> None:
    with pytest.raises(VariantError, match="names a decoder_start_token_id"):
        start_of({"model_type": "bart", "pad_token_id": 0}, {}, TOKENIZER, "model")

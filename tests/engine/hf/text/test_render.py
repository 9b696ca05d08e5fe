"""Requests become the ids that lm-evaluation-harness would score, each token once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiny_models import CHAT_TEMPLATE, build_tokenizer
from tuneval.engine.hf.text.render import Renderer, windows_of
from tuneval.engine.hf.text.written import answer_joint, joiner, plain_template
from tuneval.errors import VariantError
from tuneval.types import Decoding, Message, Request


def scoring(renderer: Renderer, prompt, continuation: str):
    (found,) = renderer.scorings([Request("r", "c", prompt, continuation=continuation)])
    return found


def renderer(*, bos: bool = False, template: str | None = None, length: int = 64) -> Renderer:
    return Renderer(build_tokenizer(bos=bos), template=template, context_length=length)


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize(
    ("context", "continuation"),
    [("Answer:", " Paris"), ("Answer: ", "Paris"), ("The quick", " brown fox"), ("a\n", "b")],
)
def test_pairs_are_cut_as_lm_eval_cuts_them(bos, context, continuation) -> None:
    reader = renderer(bos=bos)
    encode = reader.tokenizer.encode
    moved = context[len(context.rstrip()) :] + continuation
    head, whole = encode(context.rstrip()), encode(context.rstrip() + moved)
    found = scoring(reader, context, continuation)
    assert list(found.windows[0].ids) == whole
    assert found.windows[0].n_scored == len(whole) - len(head)
    assert found.n_prompt == len(head)


@pytest.mark.parametrize("model", ["own", "stories260k"])
def test_shared_contexts_are_encoded_once_to_the_same_ids(model) -> None:
    tokenizer = build_tokenizer()
    if model == "stories260k":
        from transformers import AutoTokenizer

        from shared import shared_path

        tokenizer = AutoTokenizer.from_pretrained(shared_path("models", model))
    reader = Renderer(tokenizer, template=None, context_length=200)
    contexts = [
        "The quick brown",
        "Message: my card\nTopic:",
        "a  b",
        "x",
        "end\n\n",
        "café — 東京",
    ]
    rests = [" fox", "fox", "\n", "'s", " Paris is", ".", "京", "  two"]
    pairs = [(context.rstrip(), rest) for context in contexts for rest in rests]
    encoded = reader._encode_pairs(pairs)
    for context, rest in pairs:
        assert encoded[context] == tokenizer.encode(context, add_special_tokens=False)
        whole = tokenizer.encode(context + rest, add_special_tokens=False)
        assert encoded[context + rest] == whole


def test_nothing_before_the_text() -> None:
    plain, with_bos = renderer(), renderer(bos=True)
    tokenizer = plain.tokenizer
    ids = tokenizer.encode("Once upon", add_special_tokens=False)
    assert scoring(plain, "", "Once upon").windows[0].ids == (tokenizer.eos_token_id, *ids)
    bos = with_bos.tokenizer.bos_token_id
    assert scoring(with_bos, "", "Once upon").windows[0].ids[0] == bos
    assert scoring(with_bos, "", "<s>Once").windows[0].ids.count(bos) == 1
    tokenizer.eos_token = None
    first = scoring(plain, "", "Once upon").windows[0]
    assert first.ids == tuple(ids)
    assert first.n_scored == len(ids) - 1


def test_the_first_token_is_never_doubled() -> None:
    reader = renderer(bos=True)
    bos = reader.tokenizer.bos_token_id
    for text in ("Once upon", "<s>Once upon"):
        (prompt,) = reader.prompts([Request("r", "c", text, decoding=Decoding(max_tokens=4))])
        assert prompt.ids.count(bos) == 1
    chat = Renderer(reader.tokenizer, template="<s>" + CHAT_TEMPLATE, context_length=64)
    turns = (Message("user", "Once"),)
    assert scoring(chat, turns, " upon").windows[0].ids.count(bos) == 1


def test_messages_go_through_the_chat_template() -> None:
    reader = renderer(template=CHAT_TEMPLATE)
    found = scoring(reader, (Message("system", "S"), Message("user", "Hi")), "refund")
    text = reader.tokenizer.decode(found.windows[0].ids)
    assert text == "<|system|>S\n<|user|>Hi\n<|assistant|>refund"
    assert reader.tokenizer.decode(found.windows[0].ids[found.n_prompt :]) == "refund"


def test_a_template_is_asked_to_leave_thinking_out() -> None:
    template = "{% if enable_thinking is defined and not enable_thinking %}calm {% endif %}Hi"
    asked = Request("r", "c", (Message("user", "Hi"),), decoding=Decoding())
    for thinks, text in ((True, "Hi"), (False, "calm Hi")):
        reader = Renderer(build_tokenizer(), template=template, context_length=64, thinks=thinks)
        assert reader.write(asked).text == text


def test_a_template_that_refuses() -> None:
    reader = renderer(template="{{ raise_exception('no system role') }}")
    with pytest.raises(VariantError, match=r"refuses these messages \(user\): no system role"):
        scoring(reader, (Message("user", "Hi"),), "x")


@pytest.mark.parametrize(
    ("content", "between"), [("Topic:", " "), ("Say it", "\n"), ("Say it\n", ""), ("", "")]
)
def test_what_joins_question_and_answer(content, between) -> None:
    assert joiner(content) == between


def test_the_plain_template() -> None:
    turns = (
        Message("system", "Be brief."),
        Message("user", "Text: a\nTopic:"),
        Message("assistant", "login"),
        Message("user", "Text: b\nTopic:"),
    )
    text = "Be brief.\n\nText: a\nTopic: login\n\nText: b\nTopic:"
    assert plain_template(turns, is_scored=True) == text + " "
    assert plain_template(turns, is_scored=False) == text


def test_long_prompts_are_cut_on_the_left() -> None:
    reader = renderer(length=8)
    found = scoring(reader, "The quick brown fox jumps over the lazy dog.", " Once")
    assert found.is_truncated
    assert len(found.windows[0].ids) == 9
    decoding = Decoding(max_tokens=3)
    (prompt,) = reader.prompts([Request("r", "c", "The quick brown fox " * 4, decoding=decoding)])
    assert (len(prompt.ids), prompt.max_tokens, prompt.is_truncated) == (5, 3, True)
    (prompt,) = reader.prompts(
        [Request("r", "c", "The quick brown fox " * 4, decoding=Decoding(max_tokens=99))]
    )
    assert (len(prompt.ids), prompt.max_tokens) == (4, 4)


@given(n=st.integers(1, 200), n_context=st.integers(1, 60), length=st.integers(2, 40))
def test_every_token_is_scored_once(n, n_context, length) -> None:
    ids = list(range(n_context + n))
    found = windows_of(ids, n_context, length)
    scored = [token for w in found.windows for token in w.ids[len(w.ids) - w.n_scored :]]
    assert scored == ids[n_context:]
    for window in found.windows:
        assert window.n_scored < len(window.ids) <= length + 1
        first = window.ids[0]
        assert window.ids == tuple(range(first, first + len(window.ids)))


def test_rolling_windows_are_lm_evals() -> None:
    """get_rolling_tokenwindows_of(range(100), prefix 0, 30, context_len=1), made disjoint."""
    found = windows_of([-1, *range(100)], 1, 30)
    spans = [(w.ids[0], w.ids[-1], w.n_scored) for w in found.windows]
    assert spans == [(-1, 29, 30), (29, 59, 30), (59, 89, 30), (69, 99, 10)]


TURNS = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
ASK = "{% if add_generation_prompt %}<assistant>{% endif %}"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        pytest.param(TURNS + ASK, "", id="the answer follows the generation prompt"),
        pytest.param(
            "{% for m in messages %}{{ 'Q: ' + m['content'] + '\nA:' if m['role'] == 'user' else "
            "' ' + m['content'] }}{% endfor %}",
            " ",
            id="a blank that only the answer's turn has",
        ),
        pytest.param(
            TURNS.replace("{{ m['content'] }}", "\n{{ m['content'] | trim }}") + ASK,
            "\n",
            id="a line break",
        ),
        pytest.param(
            "{% for m in messages %}<{{ m['role'] }}>{% if m['role'] == 'assistant' %}<think>\n\n"
            "</think>\n\n{% endif %}{{ m['content'] }}\n{% endfor %}" + ASK,
            "<think>\n\n</think>\n\n",
            id="an empty thinking block",
        ),
        pytest.param(
            "{% for m in messages %}{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}|"
            "{% endif %}",
            "",
            id="a generation prompt that no answered turn begins with",
        ),
        pytest.param(
            "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ raise_exception('no') }}"
            "{% endif %}{{ m['content'] }}{% endfor %}",
            "",
            id="a template that takes no answers",
        ),
    ],
)
def test_an_answer_is_joined_as_the_template_joins_it(template: str, expected: str) -> None:
    question = (Message("user", "The quick brown fox"),)
    assert answer_joint(build_tokenizer(), template, question) == expected
    reader = renderer(template=template)
    encode = reader.tokenizer.encode
    found = scoring(reader, question, "Paris")
    asked = reader.tokenizer.apply_chat_template(
        [{"role": "user", "content": question[0].content}],
        chat_template=template,
        tokenize=False,
        add_generation_prompt=True,
    )
    head = encode(asked, add_special_tokens=False)
    whole = encode(asked + expected + "Paris", add_special_tokens=False)
    if whole[: len(head)] == head:
        assert list(found.windows[0].ids) == whole
    assert found.n_prompt == len(head)

"""The text that is shown is the text that is read, and says where it was cut."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tiny_models import CHAT_TEMPLATE, build_model, build_tokenizer, words_only
from tuneval.data.read import read
from tuneval.engine.hf.text.cutting import GAP
from tuneval.engine.hf.text.render import Renderer
from tuneval.engine.hf.text.shown import shown
from tuneval.errors import VariantError
from tuneval.tasks import build
from tuneval.types import Case, Decoding, Message, Request, ShownPrompt

ASKED = (Message("system", "Be brief."), Message("user", "my card\nLabel:"))
LONG = " ".join(f"word{number}" for number in range(200))
DRAW = Decoding(max_tokens=8)


def show(prompt, *, bos=False, template=None, length=512, continuation=None) -> ShownPrompt:
    reader = Renderer(build_tokenizer(bos=bos), template=template, context_length=length)
    decoding = DRAW if continuation is None else None
    request = Request("r", "c", prompt, continuation=continuation, decoding=decoding)
    (found,) = shown(reader, [request])
    return found


@pytest.mark.parametrize(
    ("prompt", "options", "text", "continuation"),
    [
        ("Answer: ", {}, "Answer: ", None),
        ("Answer: ", {"continuation": "yes"}, "Answer:", " yes"),
        ("Answer:", {"bos": True, "continuation": " yes"}, "<s>Answer:", " yes"),
        ("<s>Answer:", {"bos": True}, "<s>Answer:", None),
        ("", {"continuation": "Once"}, "<|end|>", "Once"),
        (ASKED, {}, "Be brief.\n\nmy card\nLabel:", None),
        (ASKED, {"continuation": "login"}, "Be brief.\n\nmy card\nLabel:", " login"),
        (
            ASKED,
            {"template": CHAT_TEMPLATE, "continuation": "login"},
            "<|system|>Be brief.\n<|user|>my card\nLabel:\n<|assistant|>",
            "login",
        ),
    ],
)
def test_what_is_shown_is_what_is_read(prompt, options, text, continuation) -> None:
    found = show(prompt, **options)
    assert found == ShownPrompt(text, continuation)
    reader = Renderer(
        build_tokenizer(bos=options.get("bos", False)),
        template=options.get("template"),
        context_length=512,
    )
    if continuation is None:
        (asked,) = reader.prompts([Request("r", "c", prompt, decoding=DRAW)])
        ids = asked.ids
    else:
        said = options["continuation"]
        (scored,) = reader.scorings([Request("r", "c", prompt, continuation=said)])
        ids = scored.windows[0].ids
    assert reader.tokenizer.decode(ids) == text + (continuation or "")


@pytest.mark.parametrize("template", [None, CHAT_TEMPLATE])
@pytest.mark.parametrize("continuation", [None, "login", " login" * 9])
def test_a_long_message_loses_its_middle(template, continuation) -> None:
    prompt = (Message("system", "Be brief."), Message("user", f"Read: {LONG}\nWhich label?"))
    found = show(prompt, template=template, continuation=continuation, length=256)
    assert "Be brief." in found.text
    assert "Read: word0 word1" in found.text
    assert "word199\nWhich label?" in found.text
    assert found.cut_at is not None
    assert found.text[found.cut_at :].startswith(GAP)
    assert not found.is_question_lost
    whole = show(prompt, template=template, continuation=continuation, length=4096)
    count = build_tokenizer()
    assert found.n_cut == len(count(whole.text)["input_ids"]) - len(count(found.text)["input_ids"])
    longest = 256 - (8 if continuation is None else 0)
    assert longest - 48 < len(count(found.text + (continuation or ""))["input_ids"]) <= longest + 1


PASSAGE = " ".join(f"gate{number}" for number in range(150))
QUESTION = " ".join(f"which{number}" for number in range(30))


@pytest.mark.parametrize(
    ("template", "inputs"),
    [
        ("Read on: {context}\n\nQuestion: {question}\nAnswer:", {}),
        ("Question: {question}\nRead on: {context}\nAnswer:", {}),
        ("{question}\n\n{context}\n\n{question}\nAnswer:", {}),
        (None, {}),
        (None, {"choices": tuple(f"colour {n} of gate {n}" for n in range(8))}),
    ],
)
def test_the_longest_field_is_cut_and_the_others_stay_whole(template, inputs) -> None:
    case = Case("c", {"context": PASSAGE, "question": QUESTION, **inputs}, ("0",))
    name = "multiple_choice" if inputs else "generate"
    (request, *_) = build(name, template=template, max_tokens=8).ask(case)[:1]
    task = show(request.prompt, length=1024)
    assert PASSAGE not in task.text
    assert "gate0 gate1" in task.text
    assert "gate149" in task.text
    assert task.text.count(QUESTION) == (template or "{question}").count("{question}")
    assert all(choice in task.text for choice in inputs.get("choices", ()))
    assert task.text.rstrip().endswith("Answer:")


def test_where_the_template_is_too_long_its_middle_goes() -> None:
    case = Case("c", {"text": "my card"}, ("login",))
    (request,) = build("generate", template=f"{LONG} {{text}}\nAnswer:", max_tokens=8).ask(case)
    assert show(request.prompt, length=256).text.endswith("my card\nAnswer:")


TOOLS = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function.name }} {{ c.function.arguments | tojson }}"
    "{% endfor %}{% endfor %}<|assistant|>"
)
CALL = [
    {"type": "function", "function": {"name": "find_card", "arguments": {"n": 7, "who": 'A "B"'}}}
]


def calling(calls: list[dict[str, Any]]) -> tuple[Message, ...]:
    turns = [
        {"role": "user", "content": "where is it?"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "name": "find_card", "content": "in the post"},
        {"role": "assistant", "content": "In the post."},
    ]
    return read([{"messages": turns}]).cases[0].inputs["messages"]  # type: ignore[return-value]


def test_calls_of_tools_go_through_the_template() -> None:
    expected = '<|user|>where is it?<|assistant|><call>find_card {"n": 7, "who": "A \\"B\\""}<|tool|>in the post<|assistant|>'
    assert show(calling(CALL), template=TOOLS).text == expected
    as_text = [{"function": {**CALL[0]["function"], "arguments": '{"n": 7}'}}]
    assert "find_card" in show(calling(as_text), template=TOOLS).text


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        (None, "the plain template has no form for calls of tools .in turns of: assistant.."),
        (
            CHAT_TEMPLATE,
            "leaves out the text of these turns: assistant .first: (.|\n)*calls of tools",
        ),
        (TOOLS.replace("c.function.arguments | tojson", "''"), "turns: assistant"),
    ],
)
def test_calls_that_a_template_loses_are_an_error(template, fault) -> None:
    with pytest.raises(VariantError, match=fault):
        show(calling(CALL), template=template)


def test_all_labels_of_a_case_follow_the_same_text() -> None:
    prompt = (Message("user", LONG),)
    texts = {
        show(prompt, continuation=label, length=256).text
        for label in ("a", "refund", "my card was refused")
    }
    assert len(texts) == 1


def test_exact_characters_lose_their_beginning() -> None:
    found = show(LONG, length=256)
    assert LONG.endswith(found.text)
    assert (found.cut_at, found.is_question_lost) == (0, True)
    ids = build_tokenizer()(LONG)["input_ids"]
    assert found.n_cut == len(ids) - (256 - DRAW.max_tokens)
    nearly = show(LONG[-500:], length=360)
    assert nearly.n_cut > 0
    assert not nearly.is_question_lost


def test_a_question_that_does_not_fit_at_all_is_lost() -> None:
    turns = tuple(Message("user", f"{number} {LONG}") for number in range(30))
    assert show(turns, length=64).is_question_lost


DROPS_SYSTEM = "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}"
AS_JSON = "{% for m in messages %}{{ m.content | tojson }}{% endfor %}"
NO_THOUGHTS = "{% for m in messages %}{{ m.content.split('</think>')[-1] | trim }}{% endfor %}"
HALF_KNOWN = (
    "{% for m in messages %}{% if m.role in ('user', 'assistant') %}{{ m.content }}{% endif %}"
    "{% endfor %}"
)
OBSERVED = (
    Message("user", "weather?"),
    Message("function_call", '{"name": "look"}'),
    Message("observation", "sunny"),
    Message("user", "and now?"),
)


@pytest.mark.parametrize(
    ("template", "turns", "roles"),
    [
        (DROPS_SYSTEM, ASKED, 'system (first: "Be brief.")'),
        (HALF_KNOWN, OBSERVED, 'function_call, observation (first: "{"name": "look"}")'),
    ],
)
def test_a_template_that_loses_a_turn_is_an_error(template, turns, roles) -> None:
    with pytest.raises(VariantError) as caught:
        show(turns, template=template)
    assert str(caught.value) == (
        f"the chat template leaves out the text of these turns: {roles}.\n"
        "Use --chat-template off for the plain template, which keeps every turn, or give them "
        "a role that the template knows."
    )
    show(turns)


@pytest.mark.parametrize(
    ("template", "content"),
    [
        (AS_JSON, 'two\n"lines" é'),
        (NO_THOUGHTS, "<think>hm</think>\n\nyes "),
        ("{{ messages[0].content | trim }}", "  a\r\n b "),
        (CHAT_TEMPLATE, ""),
    ],
)
def test_what_templates_may_change(template, content) -> None:
    show((Message("assistant", content),), template=template)


def test_torch_is_not_needed(tmp_path) -> None:
    import subprocess

    build_model(tmp_path, chat=True)
    script = (
        "import sys; sys.path[:0] = sys.argv[1].split('|'); sys.modules['torch'] = None\n"
        "from tuneval.engine.hf.text.shown import renderer_of, shown\n"
        "from tuneval.engine.hf.weights.folder import describe\n"
        "from tuneval.types import Message, Request\n"
        "asked = Request('r', 'c', (Message('user', 'hi'),), continuation='x')\n"
        "print(shown(renderer_of('base', describe(sys.argv[2])), [asked])[0].text)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "|".join(sys.path), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "<|user|>hi\n<|assistant|>\n"), done.stderr


CANNOT = "The tokenizer cannot spell these answers, so that their likelihood says nothing.\n    "
REMEDY = (
    "\nName them in words that it knows (--labels RAW=NAME,...), or have the answer written "
    "(--scoring generate)."
)


@pytest.mark.parametrize(
    ("labels", "faults"),
    [
        (["cat", "dog"], None),
        (["cat", "Katze"], '"Katze" holds characters that it does not know'),
        (["Hund", "Katze", "cat"], '"Hund" and "Katze" become the same tokens'),
        (["cat", "cat "], '"cat" and "cat" become the same tokens'),
        (["cat"], None),
    ],
)
def test_answers_that_the_tokenizer_cannot_spell(labels, faults) -> None:
    reader = Renderer(words_only("animal", "cat", "dog", ":"), template=None, context_length=64)
    requests = [
        Request(label, "c", (Message("user", "animal:"),), continuation=label) for label in labels
    ]
    if faults is None:
        assert len(shown(reader, requests)) == len(labels)
        return
    with pytest.raises(VariantError) as caught:
        shown(reader, requests)
    assert str(caught.value) == CANNOT + faults + REMEDY

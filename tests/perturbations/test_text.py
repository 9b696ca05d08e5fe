"""Characters that must not change, and what each rewriting does, exactly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tuneval.errors import DataError
from tuneval.perturbations import perturb
from tuneval.perturbations.casing import careless
from tuneval.perturbations.lengthen import FACTORS, SENTENCES
from tuneval.perturbations.paraphrase import Paraphrase, objection, unlikeness
from tuneval.perturbations.text import NEGATIONS, kept
from tuneval.perturbations.typos import NEIGHBOURS, misspelt
from tuneval.types import Case


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("text", "free"),
    [
        ("plain words change", "plain words change"),
        ("see https://a.org/b?c now", "see  now"),
        ("mail bob@example.com now", "mail  now"),
        ("visit example.com soon", "visit  soon"),
        ("order A-1234 x2", "order  "),
        ("run `rm -rf` now", "run  now"),
        ("do\n```\nany code here\n```\nafter", "do\n\nafter"),
        ("look\n    x = indented\nback", "look\n\nback"),
        ("int main() {\nprose again", "\nprose again"),
        ("call foo(bar) or someName", "call bar) or "),
        ("path /usr/bin or file.txt", "path  or "),
        ("{name} said <b> hi", " said  hi"),
        ("Topic: login trouble", " login trouble"),
        ("I don't and never can't", "I  and  "),
        ("NOT nothing, notable", " , notable"),
        ("my refund and refunds", "my  and refunds"),
        ("Refund it", " it"),
        ("the answer is forty-two here", "the answer is  here"),
    ],
)
def test_kept(text: str, free: str) -> None:
    mask = kept(text, frozenset({"refund"}), ("forty-two",))
    assert "".join(c for c, keep in zip(text, mask, strict=True) if not keep) == free


@pytest.mark.parametrize(
    ("text", "misspelling"),
    [
        ("yes no it", "yes no it"),
        ("don't never without 12345 x_variable", "don't never without 12345 x_variable"),
        ("日本語のテキスト", "日本語のテキスト"),
        ("", ""),
    ],
)
def test_nothing_to_misspell(text: str, misspelling: str) -> None:
    assert misspelt(text, 1.0, generator()) == misspelling


@pytest.mark.parametrize("seed", range(200))
def test_one_slip_in_each_word(seed: int) -> None:
    text = "Where noted customer's naïve Parcel arrived"
    changed = misspelt(text, 1.0, generator(seed)).split()
    for before, after in zip(text.split(), changed, strict=True):
        assert after != before
        assert after[0] == before[0]
        assert abs(len(after) - len(before)) <= 1
        assert after.lower() not in NEGATIONS
        assert _is_one_slip(before, after)


def _is_one_slip(before: str, after: str) -> bool:
    prefix = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), None)
    i = min(len(before), len(after)) if prefix is None else prefix
    if len(after) == len(before) - 1:
        return before[:i] + before[i + 1 :] == after
    if len(after) == len(before) + 1:
        return after[:i] + after[i + 1 :] == before and after[i] == after[i - 1]
    swapped = before[:i] + before[i + 1 : i + 2] + before[i] + before[i + 2 :] == after
    beside = before[i + 1 :] == after[i + 1 :] and after[i].lower() in NEIGHBOURS[before[i].lower()]
    return swapped or beside


def test_share_of_words_is_kept_on_average() -> None:
    text = "Several words stand here waiting"
    n = sum(
        a != b
        for seed in range(2000)
        for a, b in zip(text.split(), misspelt(text, 0.15, generator(seed)).split(), strict=True)
    )
    assert n / 10_000 == pytest.approx(0.15, abs=0.0125)  # 3.5 standard errors


def test_slips_never_make_a_negation_or_a_protected_word() -> None:
    for seed in range(300):
        (changed,) = misspelt("note", 1.0, generator(seed), frozenset({"noted", "nte"})).split()
        assert changed not in {"not", "nte", "note"}


def test_keyboard() -> None:
    assert sorted(NEIGHBOURS["s"]) == sorted("adwezx")
    assert sorted(NEIGHBOURS["p"]) == ["l", "o"]
    assert all(a in NEIGHBOURS[b] for a, near in NEIGHBOURS.items() for b in near)


@pytest.mark.parametrize(
    ("level", "text", "expected"),
    [
        ("light", "I am HERE. Don't!", "i am here. Don't!"),
        ("light", "small already", "small already"),
        ("light", "See https://X.org/A and Refund", "see https://X.org/A and Refund"),
        ("medium", "I am here, it is late!", "i'm here, it's late"),
        ("medium", "It is not so.", "it's not so"),
        ("medium", "I do not know how it is", "i do not know how it is"),
        ("medium", "Is it 1234?", "is it 1234?"),
        ("heavy", "Two words", "two   words"),
    ],
)
def test_careless(level: str, text: str, expected: str) -> None:
    assert careless(text, level, generator(), frozenset({"refund"})) == expected


@pytest.mark.parametrize("level", FACTORS)
def test_padding(level: str) -> None:
    text = "My parcel has still to arrive, and the shop says it was sent a week ago."
    for n in range(20):
        (twin,), _ = perturb([Case(f"t:{n}", {"text": text})], "long", level, 0)
        padded = str(twin.inputs["text"])
        n_words, wanted = len(padded.split()), FACTORS[level] * len(text.split())
        assert wanted <= n_words < wanted + max(len(s.split()) for s in SENTENCES)
        before, after = padded.split(text)
        for sentence in SENTENCES:
            before, after = before.replace(sentence, ""), after.replace(sentence, "")
        assert not (before + after).strip()


def test_padding_with_a_factor_of_ones_own_and_a_protected_word() -> None:
    cases = [Case("t:1", {"text": "one two three four five six seven eight"})]
    (twin,), _ = perturb(cases, "long", "2x", 0, ["door", "Window"], factor=1.5)
    added = str(twin.inputs["text"]).replace(str(cases[0].inputs["text"]), "")
    assert added
    assert not {"door", "window"} & set(added.lower().replace(".", "").split())
    words = {word for s in SENTENCES for word in s.lower().strip(".").split()}
    assert perturb(cases, "long", "2x", 0, words) == ((), 1)


def test_a_prompt_keeps_its_end() -> None:
    prompt = "Message: where is my parcel today, please?\nTopic:"
    for n in range(20):
        (twin,), _ = perturb([Case(f"t:{n}", {"prompt": prompt})], "long", "4x", 0)
        assert str(twin.inputs["prompt"]).endswith(prompt)


def test_sentences_are_neutral() -> None:
    text = " ".join(SENTENCES).lower()
    assert not any(c.isdigit() or c in "?!" for c in text)
    assert not set(text.replace(".", "").split()) & NEGATIONS
    assert len(set(SENTENCES)) == len(SENTENCES)


@pytest.mark.parametrize(
    ("text", "other", "why"),
    [
        ("Where is order 12?", "Order 12, where is it?", None),
        ("Where is order 12?", "Where is  order 12?", "the same text"),
        ("Where is order 12?", "Where is order 13?", "other numbers"),
        ("It did not come", "It did come today", "another number of negations"),
        ("It didn’t come", "It did not come", None),
        ("Where?", "Could you tell me where it is?", "5.0 times as long"),
        ("Could you tell me where it is?", "Where?", "0.2 times as long"),
    ],
)
def test_paraphrases_that_are_refused(text: str, other: str, why: str | None) -> None:
    assert objection(text, other) == why


@pytest.mark.parametrize("name", ["p.jsonl", "p.csv"])
def test_paraphrases_from_a_file(tmp_path: Path, name: str) -> None:
    rows = [("t:1", "Where is it now?"), ("t:1", "Where can it be?"), ("t:2", "The box 7 came.")]
    path = tmp_path / name
    if name.endswith("csv"):
        path.write_text("id,text\n" + "".join(f"{a},{b}\n" for a, b in rows), encoding="utf-8")
    else:
        texts = (json.dumps({"id": a, "text": b}) + "\n" for a, b in rows)
        path.write_text("".join(texts), encoding="utf-8")
    cases = [Case("t:1", {"text": "Where is it?"}), Case("t:2", {"text": "The box 8 came."})]
    twins, n_unchanged = perturb(cases, "paraphrase", "file", 0, file=path)
    assert [(twin.id, twin.inputs["text"]) for twin in twins] == [
        ("t:1~paraphrase:file:1", "Where is it now?"),
        ("t:1~paraphrase:file:2", "Where can it be?"),
    ]
    assert n_unchanged == 1
    reader = Paraphrase(path)
    assert reader.perturb(cases[1], "file", generator(), frozenset()) == ()
    assert reader.refused == ["t:2: other numbers"]


def test_what_of_a_paraphrase_file_was_not_used(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    rows = [("t:1", "Where can it be?"), ("u-7", "Box 8 has come."), ("t:9", "x"), ("t:2", "Box 9")]
    path.write_text("".join(json.dumps({"id": a, "text": b}) + "\n" for a, b in rows))
    cases = [
        Case("t:1", {"text": "Where is it?"}),
        Case("t:2", {"text": "The box 8 came.", "id": "u-7"}),
    ]
    reader = Paraphrase(path)
    for case in cases:
        assert len(reader.perturb(case, "file", generator(), frozenset())) == 1 - (case.id == "t:2")
    assert reader.remarks() == (
        'p.jsonl: 2 ids name no case of this run (first: "u-7")',
        "p.jsonl: 1 paraphrases refused (first: t:2: other numbers)",
    )
    with pytest.raises(DataError, match='no id names a case of this run \\(first: "t:1"\\)'):
        Paraphrase(path).remarks()


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ("Where is my parcel, please?", None),
        ("Zebras sleep", "too far from the text (chrF below 30)"),
        ("Where is my parcel today, please", "too near to the text (chrF above 95)"),
    ],
)
def test_likeness_of_machine_paraphrases(other: str, why: str | None) -> None:
    assert unlikeness("Where is my parcel today, please?", other) == why


def test_max_fills_the_context() -> None:
    text = "one two three four five six seven eight"
    (twin,), _ = perturb([Case("t:1", {"text": text})], "long", "max", 0, context_tokens=400)
    n = len(str(twin.inputs["text"]))
    assert 0.5 * 400 * 3 < n < 400 * 3, "characters, at three a token"
    assert twin.perturbation == "long:max"
    (tenfold,), _ = perturb([Case("t:1", {"text": text})], "long", "10x", 0)
    assert tenfold.perturbation == "long:10x"


def test_faulty_paraphrase_files(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "t:1", "text": "x"}\n{"id": 2}\nnonsense\n', encoding="utf-8")
    with pytest.raises(DataError) as caught:
        Paraphrase(path)
    assert str(caught.value) == (
        "p.jsonl: 2 paraphrases cannot be read.\n"
        '    line 2: "id" and "text" must both be text\n'
        '    line 3: "id" and "text" must both be text\n'
        "Mend the lines."
    )
    with pytest.raises(DataError, match="cannot be opened"):
        Paraphrase(tmp_path / "absent.jsonl")


EXACT = (
    "I still have not received my refund for order 1234.",
    "Could somebody explain why the payment failed yesterday?",
    "Write to help@example.com or visit https://example.com/help please.",
)


@pytest.mark.parametrize(
    ("name", "level", "expected"),
    [
        ("typos", "light", {}),
        ("typos", "medium", {
            1: "Could somebody explian why the payment failed yesterday?",
            2: "Write to help@example.com or visi https://example.com/help please.",
        }),
        ("typos", "heavy", {
            0: "I still have not received my refund for oredr 1234.",
            1: "Could somebody explain why the paymentt failed yesetrday?",
            2: "Write to help@example.com or visitt https://example.com/help please.",
        }),
        ("long", "2x", {
            0: "The newspaper lay folded on the chair. The lamp stood next to the shelf. I still "
               "have not received my refund for order 1234.",
            1: "Some birds were sitting on the fence. Could somebody explain why the payment "
               "failed yesterday? A clock on the wall kept ticking.",
            2: "Write to help@example.com or visit https://example.com/help please. The sun had "
               "come up a little while before.",
        }),
        ("gender", "swap", {}),
        ("casing", "heavy", {
            0: "i  still have  not received  my  refund   for   order   1234.",
            1: "could  somebody   explain why the   payment failed   yesterday",
            2: "write   to help@example.com or visit https://example.com/help   please",
        }),
    ],
)  # fmt: skip
def test_exact_twins_of_seed_0(name: str, level: str, expected: dict[int, str]) -> None:
    """Answers in journals hang on these texts: a change here must be meant."""
    cases = [Case(f"t.jsonl:{n}", {"text": text}) for n, text in enumerate(EXACT, 1)]
    twins, n_unchanged = perturb(cases, name, level, 0, ["refund"])
    assert [twin.inputs["text"] for twin in twins] == list(expected.values())
    assert [twin.origin for twin in twins] == [f"t.jsonl:{n + 1}" for n in expected]
    assert n_unchanged == len(EXACT) - len(expected)

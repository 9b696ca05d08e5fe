from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tiny_models import build_model
from tuneval.engine.hf.text.render import Renderer
from tuneval.engine.vllm.planning import N_TARGETS, Plan, plan
from tuneval.types import Decoding, Request

CONTEXT = 64


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    folder: Path = build_model(tmp_path_factory.mktemp("model") / "base")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return Renderer(tokenizer, template=None, context_length=CONTEXT)


def planned(renderer: Renderer, requests: list[Request], known: tuple[str, ...] = ()) -> Plan:
    n = len(renderer.tokenizer)
    return plan(requests, known, renderer, end_tokens={7, 2}, n_embeddings=n, longest=CONTEXT)


def scored(name: str, answer: str, prompt: str = "Which?") -> Request:
    return Request(name, name[0], prompt, continuation=answer)


@pytest.mark.parametrize(
    ("requests", "here"),
    [
        ([scored("a1", "A"), scored("a2", "B")], []),
        ([scored("a1", "A"), scored("a2", "ABABAB")], ["a1", "a2"]),
        ([scored("a1", "A"), scored("b1", "ABABAB")], ["b1"]),
        ([scored("a1", "A", "x" * 500)], ["a1"]),
        ([scored("a1", "", "Which?")], ["a1"]),
        ([Request("t", "t", "Once", decoding=Decoding(max_tokens=3))], []),
        ([Request("t", "t", "Once", decoding=Decoding(max_tokens=0))], ["t"]),
    ],
    ids=[
        "one token each",
        "one of several sends its prompt away",
        "not another prompt",
        "no room for the token that is drawn",
        "nothing scored",
        "drawn",
        "nothing to draw",
    ],
)
def test_where_requests_go(renderer: Renderer, requests: list[Request], here: list[str]) -> None:
    found = planned(renderer, requests)
    assert [requests[n].id for n in found.here] == here
    asked = {one.owner for labels in found.labels.values() for one in labels}
    asked |= {job.owner for job in found.jobs.values()}
    assert sorted([*asked, *found.here]) == list(range(len(requests)))


def test_where_a_request_goes_does_not_hang_on_what_is_known(renderer: Renderer) -> None:
    requests = [scored("a1", "A"), scored("a2", "ABABAB"), scored("b1", "A"), scored("b2", "B")]
    found = planned(renderer, requests, ("a2", "b1"))
    assert found.here == [0, 1]
    assert [one.owner for labels in found.labels.values() for one in labels] == [3]


def test_labels_of_one_prompt_share_an_ask_up_to_what_vllm_tells(renderer: Renderer) -> None:
    tokenizer = renderer.tokenizer
    words = [tokenizer.decode([one]) for one in range(len(tokenizer))]
    requests = [
        scored(f"a{n}", word, "Which one?")
        for n, word in enumerate(dict.fromkeys(words))
        if len(renderer.scorings([scored("x", word, "Which one?")])[0].windows[0].ids) > 1
        and renderer.scorings([scored("x", word, "Which one?")])[0].windows[0].n_scored == 1
    ]
    requests.append(replace(requests[0], id="again"))
    found = planned(renderer, requests)
    by_ids: dict[tuple[int, ...], int] = {}
    for ask in found.asks:
        told = ask.words["logprob_token_ids"]
        assert len(told) == ask.words["logprobs"] <= N_TARGETS
        by_ids[ask.ids] = by_ids.get(ask.ids, 0) + len(told)
    owners = [one.owner for labels in found.labels.values() for one in labels]
    assert sorted(owners) == list(range(len(requests)))
    assert sum(by_ids.values()) == len(requests) - 1


def test_a_completion_is_drawn_as_on_transformers(renderer: Renderer) -> None:
    special = next(iter(renderer.tokenizer.all_special_tokens))
    number = renderer.tokenizer.convert_tokens_to_ids(special)
    decoding = Decoding(max_tokens=5, stop=("\n", special), temperature=0.7, n_completions=2)
    requests = [Request(f"t{n}", "t", f"Once {n}", decoding=decoding) for n in range(2)]
    asks = planned(renderer, requests).asks
    words = asks[0].words
    assert words["stop_token_ids"] == sorted({2, 7, number})
    assert (words["stop"], words["detokenize"], words["max_tokens"]) == (["\n"], True, 5)
    assert len({one.words["seed"] for one in asks}) == len(asks) == 4
    assert asks == planned(renderer, requests).asks
    greedy = replace(requests[0], decoding=replace(decoding, temperature=0.0, stop=()))
    (words, *_) = [one.words for one in planned(renderer, [greedy]).asks]
    assert "seed" not in words and "stop" not in words and not words["detokenize"]

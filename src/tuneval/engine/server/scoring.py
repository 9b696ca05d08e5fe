"""Log-likelihoods from a server: by ids where it takes them, many in one call; by texts elsewhere.

Not for: what a request becomes (``rendered.py``) or which numbers belong to it (``echo.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneval.engine.hf.text.render import Window
from tuneval.engine.retry import Refused
from tuneval.engine.server import echo
from tuneval.engine.server.connection import Connection, choices_of
from tuneval.engine.server.rendered import Ids, calls_of, is_short, steps_of
from tuneval.types import Variant

Number = tuple[float, bool | None]
"""Log-probability of a token, and whether none was likelier in its place (None: not told)."""
Key = Window | tuple[Ids, int]
"""What is asked: a window, or one token in one place."""
Numbers = Sequence[Number] | str
"""The numbers of a key, or why there are none."""

N_PROMPTS = 32
N_TOKENS = 16_384
"""Of one call at most."""
N_TARGETS = 128
"""Tokens that vLLM tells of one place at most."""


@dataclass(frozen=True, slots=True)
class Call:
    """Prompts that go to the server together. ``targets``: the tokens that are told of what follows
    each; None where the prompts are echoed. ``n_scored``: of each echoed prompt, the tokens at its
    end that are scored."""

    prompts: tuple[Ids, ...]
    targets: tuple[int, ...] | None = None
    n_scored: tuple[int, ...] = ()


def keys_of(windows: Sequence[Window], *, by_steps: bool) -> list[Key]:
    """What has to be told for a request, in order."""
    if not (by_steps and is_short(windows)):
        return list(windows)
    return [
        (window.ids[:place], window.ids[place])
        for window in windows
        for place in range(len(window.ids) - window.n_scored, len(window.ids))
    ]


def plan(keys: Iterable[Key]) -> list[Call]:
    """Group keys into calls; each distinct one is asked once."""
    distinct = list(dict.fromkeys(keys))
    windows = [one for one in distinct if isinstance(one, Window)]
    steps = steps_of(
        Window((*one[0], one[1]), 1) for one in distinct if not isinstance(one, Window)
    )
    calls = [
        Call(tuple(prompts), targets)
        for prompts, targets in calls_of(steps, n_prompts=N_PROMPTS, n_targets=N_TARGETS)
    ]
    some: list[Window] = []
    for window in windows:
        if some and (
            len(some) == N_PROMPTS or sum(len(one.ids) for one in some) + len(window.ids) > N_TOKENS
        ):
            calls.append(_echoing(some))
            some = []
        some.append(window)
    return [*calls, _echoing(some)] if some else calls


def ask(connection: Connection, variant: Variant, call: Call) -> dict[Key, Numbers]:
    """Ask a call; what the server refuses together is asked one by one, so that one prompt that it
    cannot take spoils no other.

    Raises
    ------
    Refused
        Of kind ``fatal`` only.
    """
    try:
        return _ask(connection, variant, call)
    except Refused as refused:
        if refused.kind == "fatal":
            raise
        if len(call.prompts) == 1:
            return dict.fromkeys(_keys(call), f"server: {refused}")
    found: dict[Key, Numbers] = {}
    for number, prompt in enumerate(call.prompts):
        alone = Call((prompt,), call.targets, call.n_scored[number : number + 1])
        found |= ask(connection, variant, alone)
    return found


def echo_texts(
    connection: Connection, variant: Variant, texts: Sequence[str], on_nothing: Callable[[], Any]
) -> list[list[echo.Told]]:
    """Have texts echoed in one call, with what is told of their tokens.

    ``on_nothing`` raises where the server tells none.
    """
    asked = {
        "prompt": texts[0] if len(texts) == 1 else list(texts),
        "max_tokens": 1,
        "temperature": 0,
        "echo": True,
        "logprobs": 1,
    }

    def read(body: Mapping[str, Any]) -> list[list[echo.Told]]:
        found = []
        for choice, text in zip(choices_of(body, len(texts)), texts, strict=True):
            told = echo.of_text(choice, text)
            if told is None:
                on_nothing()
            found.append(told or [])
        return found

    return connection.ask(variant, "/completions", asked, read)


def _echoing(windows: Sequence[Window]) -> Call:
    return Call(tuple(one.ids for one in windows), n_scored=tuple(one.n_scored for one in windows))


def _keys(call: Call) -> list[Key]:
    if call.targets is None:
        return [Window(*one) for one in zip(call.prompts, call.n_scored, strict=True)]
    return [(prompt, target) for prompt in call.prompts for target in call.targets]


def _ask(connection: Connection, variant: Variant, call: Call) -> dict[Key, Numbers]:
    asked: dict[str, Any] = {
        "prompt": [list(one) for one in call.prompts],
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": 1,
        "return_tokens_as_token_ids": True,
    }
    asked |= {"echo": True} if call.targets is None else {"logprob_token_ids": [*call.targets]}

    def read(body: Mapping[str, Any]) -> dict[Key, Numbers]:
        choices = choices_of(body, len(call.prompts))
        found: dict[Key, Numbers] = {}
        for number, (choice, prompt) in enumerate(zip(choices, call.prompts, strict=True)):
            if call.targets is None:
                window = Window(prompt, call.n_scored[number])
                found[window] = _of_echo(choice, window)
            else:
                for target, told in _of_step(choice, call.targets).items():
                    found[prompt, target] = [told]
        return found

    return connection.ask(variant, "/completions", asked, read)


def _of_echo(choice: Mapping[str, Any], window: Window) -> list[Number]:
    told = echo.of_ids(choice, window.ids)
    if told is None:
        raise ValueError("tokens are not told as ids")
    found: list[Number] = []
    for one in told[len(told) - window.n_scored :]:
        if one.nats is None:
            raise ValueError("a token without log-probability")
        found.append((one.nats, None if one.best is None else one.nats >= one.best))
    return found


def _of_step(choice: Mapping[str, Any], targets: Sequence[int]) -> dict[int, Number]:
    logprobs = choice["logprobs"]
    drawn, tops = logprobs["tokens"][0], logprobs["top_logprobs"][0]
    return {
        one: (float(tops[f"{echo.AS_ID}{one}"]), drawn == f"{echo.AS_ID}{one}") for one in targets
    }

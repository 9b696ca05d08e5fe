"""Prompts written and encoded here, by the variant's own tokenizer, for a server that runs it.

What is sent are ids where the server takes them, so that it reads what the backend on transformers
would read. Not for: sending.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tuneval.engine.hf.text import tokenizer as tokenizers
from tuneval.engine.hf.text.render import Renderer, Window
from tuneval.engine.hf.text.shown import context_length
from tuneval.engine.hf.text.tokenizer import ChatTemplate, Spoken
from tuneval.engine.hf.weights.folder import describe_text
from tuneval.types import Variant

EVERY = "*"
"""Key of the folder whose tokenizer every variant speaks that has none of its own."""
MOST_STEPS = 8
"""Tokens of an answer up to which each place in it is asked by itself: answers of one question
share their beginnings. Longer ones are echoed whole."""

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """How a variant reads text, as far as it is known here."""

    renderer: Renderer
    spoken: Spoken

    @property
    def identity(self) -> list[object]:
        """For the fingerprint: all that decides which ids a request becomes."""
        renderer = self.renderer
        own = [self.spoken.fingerprint, self.spoken.template, renderer.context_length]
        return [*own, *([] if renderer.thinks else ["no thinking"])]


class Readings:
    """The tokenizers that were given, loaded once each.

    Parameters
    ----------
    folders : mapping
        Variant name (or ``EVERY``) -> folder or hub id of its tokenizer.
    """

    def __init__(
        self,
        folders: Mapping[str, str],
        *,
        chat_template: ChatTemplate = "auto",
        thinks: bool = True,
        offline: bool = False,
    ) -> None:
        self._folders = folders
        self._chat_template = chat_template
        self._thinks = thinks
        self._offline = offline
        self._spoken: dict[str, tuple[Spoken, int]] = {}
        self._found: dict[tuple[str, int | None], Reading] = {}

    def of(self, variant: Variant, longest: int | None = None) -> Reading | None:
        """How a variant reads text; None where no tokenizer was given for it.

        ``longest``: tokens that the server takes at most, where it says so.
        """
        folder = self._folders.get(variant.name, self._folders.get(EVERY))
        if folder is None or variant.kind == "judge":
            return None
        if (folder, longest) not in self._found:
            spoken, length = self._speak(folder, variant)
            renderer = Renderer(
                spoken.tokenizer,
                template=spoken.template,
                context_length=min(length, longest or length),
                thinks=self._thinks,
            )
            self._found[folder, longest] = Reading(renderer, spoken)
        return self._found[folder, longest]

    def _speak(self, folder: str, variant: Variant) -> tuple[Spoken, int]:
        if folder not in self._spoken:
            found = describe_text(folder, offline=self._offline)
            with tokenizers.without_torch():  # nothing else of a served run needs it
                tokenizer = tokenizers.load(found)
            spoken = tokenizers.speak(
                tokenizer,
                self._chat_template,
                origin="given",
                owner="own",
                who=variant.name,
            )
            self._spoken[folder] = spoken, context_length(found.context_length, spoken)
        return self._spoken[folder]


def sendable(window: Window, context: int) -> Window:
    """A window that leaves room for the token that a server draws after every prompt."""
    kept = window.ids[-max(2, context - 1) :]
    return replace(window, ids=kept, n_scored=min(window.n_scored, len(kept) - 1))


def steps_of(windows: Iterable[Window]) -> dict[Ids, set[int]]:
    """All places in which a token is scored, each once: what stands before it -> the tokens."""
    wanted: dict[Ids, set[int]] = {}
    for window in windows:
        for place in range(len(window.ids) - window.n_scored, len(window.ids)):
            wanted.setdefault(window.ids[:place], set()).add(window.ids[place])
    return wanted


def calls_of(
    wanted: Mapping[Ids, set[int]], *, n_prompts: int, n_targets: int
) -> list[tuple[list[Ids], tuple[int, ...]]]:
    """Group places into calls: one call names the same tokens for all of its prompts.

    Places that want the same tokens stand together; what another place of the call wants costs a
    prompt nothing that could be noticed.

    Returns
    -------
    list of (prompts, tokens)
        At most ``n_prompts`` prompts and ``n_targets`` tokens each.
    """
    calls: list[tuple[list[Ids], tuple[int, ...]]] = []
    prompts: list[Ids] = []
    named: set[int] = set()
    for before, targets in sorted(wanted.items(), key=lambda one: sorted(one[1])):
        ordered = sorted(targets)
        for start in range(0, len(ordered), n_targets):
            some = set(ordered[start : start + n_targets])
            if prompts and (len(prompts) == n_prompts or len(named | some) > n_targets):
                calls.append((prompts, tuple(sorted(named))))
                prompts, named = [], set()
            prompts.append(before)
            named |= some
    return [*calls, (prompts, tuple(sorted(named)))] if prompts else calls


def is_short(windows: Sequence[Window]) -> bool:
    """Whether an answer is asked place by place."""
    return all(window.n_scored <= MOST_STEPS for window in windows)

"""Turns requests into token ids for a model with an encoder: what it reads, and how its decoder begins.

A text that is longer than the encoder takes loses its end, as tokenizers cut it in training. Not for: a
decoder alone (``render.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tuneval.engine.hf.text.render import Prompt, Renderer, Scoring, Written, windows_of
from tuneval.engine.hf.text.written import plain_template
from tuneval.errors import VariantError
from tuneval.types import Message, Request, ShownPrompt


@dataclass(frozen=True, slots=True)
class Start:
    """Ids that the decoder begins with. ``is_forced``: the folder says with which token an answer begins
    (the language of a translation), beside the usual first one."""

    ids: tuple[int, ...]
    is_forced: bool = False


def start_of(
    config: Mapping[str, Any], generation: Mapping[str, Any], tokenizer: Any, given: str
) -> Start:
    """How the decoder of a model begins, by its ``generation_config.json`` and then its ``config.json``.

    Raises
    ------
    VariantError
        Neither names a token.
    """

    def named(key: str) -> int | None:
        found = (one.get(key) for one in (generation, config))
        return next((int(one) for one in found if isinstance(one, int)), None)

    first = named("decoder_start_token_id")
    if first is None:
        first = named("bos_token_id")
    if first is None:
        first = named("pad_token_id") if config.get("model_type") in _FROM_PAD else None
    if first is None:
        raise VariantError(
            f'"{given}": neither generation_config.json nor config.json names a decoder_start_token_id, so that '
            "nobody knows how its decoder begins.\nSave the model again, or write the number into config.json "
            f"(the end token is {tokenizer.eos_token_id}, the padding token {tokenizer.pad_token_id})."
        )
    forced = named("forced_bos_token_id")
    return Start((first,)) if forced is None else Start((first, forced), is_forced=True)


_FROM_PAD = frozenset(("t5", "mt5", "umt5", "longt5", "pegasus"))
"""Kinds whose decoder begins with the padding token, whether their folder says so or not."""


_NO_LIMIT = 1 << 30


@dataclass(frozen=True, slots=True)
class _Source:
    """What the encoder reads: ids, and how much of the text was left out at its end."""

    ids: tuple[int, ...]
    n_cut: int
    n_kept: int


class SourceRenderer(Renderer):
    """Text and messages -> ids for a variant with an encoder.

    Messages become plain text (there is no chat template, or the folder's own where it has one), the same
    for a scored answer and a written one; the answer begins without white space.

    Parameters
    ----------
    start : Start
        How the decoder begins.
    longest_answer : int, optional
        Tokens that the decoder has positions for; None where positions are relative.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        template: str | None,
        context_length: int,
        start: Start,
        longest_answer: int | None = None,
        thinks: bool = True,
    ) -> None:
        super().__init__(tokenizer, template=template, context_length=context_length, thinks=thinks)
        self.start = start
        self.longest_answer = longest_answer or _NO_LIMIT
        self._around = _around(tokenizer, list(tokenizer("x")["input_ids"]))
        # An answer in training begins with what the tokenizer puts before a target.
        before, _ = _around(tokenizer, list(tokenizer(text_target="x")["input_ids"]))
        self.scored_start = start.ids if start.is_forced else (*start.ids, *before)
        self._targets: dict[str, tuple[int, ...]] = {}

    def scorings(self, requests: Sequence[Request]) -> list[Scoring]:
        """Encode requests for log-likelihoods: of the answer's own tokens, without an end token."""
        sources = self._sources(requests)
        scorings = []
        for source, request in zip(sources, requests, strict=True):
            ids = [*self.scored_start, *self._target(request.continuation or "")]
            found = windows_of(ids, len(self.scored_start), self.longest_answer)
            windows = tuple(replace(window, source=source.ids) for window in found.windows)
            scorings.append(Scoring(windows, len(source.ids), source.n_cut > 0))
        return scorings

    def prompts(self, requests: Sequence[Request]) -> list[Prompt]:
        """Encode requests for completions."""
        room = self.longest_answer - len(self.start.ids)
        return [
            Prompt(
                ids=self.start.ids,
                n_prompt=len(source.ids),
                max_tokens=min(request.decoding.max_tokens if request.decoding else 0, room),
                is_truncated=source.n_cut > 0,
                source=source.ids,
            )
            for source, request in zip(self._sources(requests), requests, strict=True)
        ]

    def shown(self, request: Request) -> ShownPrompt:
        """What encoder and decoder read, special tokens spelled out: the text with its end token, and then
        the tokens that the decoder begins with. Whether a question is lost is for those to say who know
        where in the text it stands."""
        written = self.write(request).text
        (source,) = self._sources([request])
        kept = (
            written if not source.n_cut else written[: self._n_characters(written, source.n_kept)]
        )
        before, after = (self._spelled(ids) for ids in self._around)
        is_scored = request.continuation is not None
        start = self._spelled(self.scored_start if is_scored else self.start.ids)
        return ShownPrompt(
            before + kept + after + start,
            request.continuation.strip() if request.continuation is not None else None,
            source.n_cut,
            len(before) + len(kept) if source.n_cut else None,
        )

    def pair(self, prompt: Written, continuation: str) -> tuple[str, str, bool]:
        """The text of the encoder and that of the decoder: nothing moves from one to the other."""
        return prompt.text, continuation.strip(), prompt.is_chat

    def write(self, request: Request) -> Written:
        """The text of one prompt, as long as it is: it is cut by its tokens."""
        prompt = request.prompt
        if isinstance(prompt, str):
            return Written(prompt, False)
        text = self._text(prompt, is_scored=False, tools=request.tools)
        return Written(text, self._template is not None)

    def _text(self, messages: Sequence[Message], *, is_scored: bool, tools: str = "") -> str:
        if self._template is None:
            return plain_template(messages, is_scored=False, tools=tools).rstrip()
        return super()._text(messages, is_scored=is_scored, tools=tools)

    def _key(self, request: Request) -> object:
        return request.prompt, request.tools

    def _sources(self, requests: Sequence[Request]) -> list[_Source]:
        texts = [one.text for one in self.written(requests)]
        encoded = self.encode_all(texts)
        found = {text: self._source(ids) for text, ids in encoded.items()}
        return [found[text] for text in texts]

    def _source(self, ids: list[int]) -> _Source:
        before, after = self._around
        room = max(1, self.context_length - len(before) - len(after))
        kept = ids[:room]
        read = (*before, *kept, *after) or self._nothing()
        return _Source(read, len(ids) - len(kept), len(kept))

    def _nothing(self) -> tuple[int, ...]:
        """What the encoder reads of an empty text where the tokenizer adds no tokens of its own."""
        for number in (self.tokenizer.eos_token_id, self.tokenizer.pad_token_id):
            if number is not None:
                return (int(number),)
        raise VariantError(
            "a prompt is empty, and the tokenizer has neither an end-of-sequence nor a padding token for the "
            "encoder to read instead."
        )

    def _target(self, continuation: str) -> tuple[int, ...]:
        text = continuation.strip()
        if text not in self._targets:
            given = self.tokenizer(text_target=text, add_special_tokens=False, verbose=False)
            self._targets[text] = tuple(given["input_ids"])
        return self._targets[text]

    def _n_characters(self, text: str, n_tokens: int) -> int:
        """Characters that the first tokens spell."""
        if getattr(self.tokenizer, "is_fast", False):
            offsets = self.tokenizer(
                text,
                add_special_tokens=False,
                return_offsets_mapping=True,
                truncation=False,
                verbose=False,
            )["offset_mapping"]
            return int(offsets[n_tokens - 1][1])
        ids = self.encode_all([text])[text][:n_tokens]
        return len(self.tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    def _spelled(self, ids: Iterable[int]) -> str:
        return "".join(self.tokenizer.convert_ids_to_tokens(list(ids)))


def _around(tokenizer: Any, ids: list[int]) -> tuple[list[int], list[int]]:
    """Ids that the tokenizer puts before and after a text by itself, from those of "x"."""
    bare = list(tokenizer("x", add_special_tokens=False)["input_ids"])
    for start in range(len(ids) - len(bare) + 1):
        if ids[start : start + len(bare)] == bare:
            return ids[:start], ids[start + len(bare) :]
    return [], []

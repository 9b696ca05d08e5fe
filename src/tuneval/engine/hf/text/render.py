"""Turns requests into token ids the way one variant reads them.

Text prompts are encoded as they stand. Messages go through the variant's chat template, or the
plain template where it has none. Not for: loading tokenizers, planning batches.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tuneval.engine.hf.text.cutting import GAP, shorten
from tuneval.engine.hf.text.written import (
    answer_joint,
    chat_text,
    plain_template,
    refuse_template_without_tools,
)
from tuneval.errors import VariantError
from tuneval.types import Message, Request

DEFAULT_CONTEXT_LENGTH = 2048
"""Where a config says nothing; the length that lm-evaluation-harness assumes too."""

_N_SAMPLED = 16
_N_ENCODED = 2048
"""Texts that are encoded at once."""
_ANSWER_STEP = 64
"""The room for a scored answer is a multiple of this many tokens."""
_N_SPECIALS = 8
"""More than the tokens that any tokenizer puts around a text by itself."""


@dataclass(frozen=True, slots=True)
class Written:
    """A prompt as text. ``n_cut`` tokens were left out of its messages, first at ``cut_at``;
    ``joint`` is what the chat template writes before an answer that is scored."""

    text: str
    is_chat: bool
    n_cut: int = 0
    cut_at: int | None = None
    joint: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """Token ids of which the last ``n_scored`` are scored, given all ids before them, and ``source``: what an
    encoder reads."""

    ids: tuple[int, ...]
    n_scored: int
    source: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Scoring:
    """A request for a log-likelihood as ids. Its tokens are scored over the windows in order."""

    windows: tuple[Window, ...]
    n_prompt: int
    is_truncated: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request for completions as ids, and how many tokens there is room for; ``source``: what an encoder
    reads, where ``ids`` are but the beginning of what the decoder writes."""

    ids: tuple[int, ...]
    n_prompt: int
    max_tokens: int
    is_truncated: bool = False
    source: tuple[int, ...] = ()


class Renderer:
    """Text and messages -> ids for one variant.

    Parameters
    ----------
    tokenizer
        A transformers tokenizer.
    template : str or None
        Chat template for messages; None for the plain template.
    context_length : int
        Longest input of the model, in tokens.
    thinks : bool
        False asks the chat template to leave thinking out (``enable_thinking=False``).
    """

    def __init__(
        self, tokenizer: Any, *, template: str | None, context_length: int, thinks: bool = True
    ) -> None:
        self.tokenizer = tokenizer
        self.context_length = context_length
        self.thinks = thinks
        self._template = template
        self._bos = _leading_specials(tokenizer)
        self._ints: dict[int, int] = {}
        self._joints: dict[tuple[str, ...], str] = {}
        self._shown_tools: set[str] = set()

    # ---------------------------------------------------------------------------------- scoring

    def scorings(self, requests: Sequence[Request]) -> list[Scoring]:
        """Encode requests for log-likelihoods."""
        prompts = self.written(requests)
        pairs = [
            self.pair(prompt, request.continuation or "")
            for prompt, request in zip(prompts, requests, strict=True)
        ]
        # Neighbours share their context, so that texts need to be held for a while only.
        order = sorted(range(len(pairs)), key=lambda index: pairs[index][0])
        found: dict[int, Scoring] = {}
        for start in range(0, len(order), _N_ENCODED):
            block = order[start : start + _N_ENCODED]
            encoded = self._encode_pairs([pairs[index][:2] for index in block])
            for index in block:
                context, rest, is_chat = pairs[index]
                if not context:
                    ids, n_context = self._after_nothing(encoded[rest])
                else:
                    ids, n_context = self._split(encoded, context, rest, is_chat=is_chat)
                stride = requests[index].stride
                scoring = windows_of(ids, n_context, self.context_length, stride)
                is_cut = scoring.is_truncated or prompts[index].n_cut > 0
                found[index] = replace(scoring, is_truncated=is_cut)
        return [found[index] for index in range(len(pairs))]

    def pair(self, prompt: Written, continuation: str) -> tuple[str, str, bool]:
        """Move the context's trailing white space to the continuation, where tokens keep it.

        Not after a chat template, whose end is what the model was trained to answer to; there the
        template's own joint comes before the answer.
        """
        if prompt.is_chat:
            return prompt.text, prompt.joint + continuation, True
        context = prompt.text.rstrip()
        return context, prompt.text[len(context) :] + continuation, False

    def _split(
        self, encoded: dict[str, list[int]], context: str, rest: str, *, is_chat: bool
    ) -> tuple[list[int], int]:
        """Encode context and continuation together and cut by the context's own length."""
        head = encoded[context] if is_chat else self.with_bos(encoded[context])
        whole = encoded[context + rest] if is_chat else self.with_bos(encoded[context + rest])
        if len(whole) > len(head) and (not is_chat or whole[: len(head)] == head):
            return whole, len(head)
        return head + self.encode_all([rest])[rest], len(head)

    def _after_nothing(self, ids: list[int]) -> tuple[list[int], int]:
        """Score from the beginning-of-sequence token on, or else from the first token on."""
        prefix = self.tokenizer.bos_token_id
        if prefix is None:
            prefix = self.tokenizer.eos_token_id
        if prefix is None or (ids and ids[0] == prefix):
            return ids, min(1, len(ids))
        return [prefix, *ids], 1

    # ------------------------------------------------------------------------------- generation

    def prompts(self, requests: Sequence[Request]) -> list[Prompt]:
        """Encode requests for completions, cut to leave room for the answer."""
        texts = self.written(requests)
        encoded = self.encode_all(one.text for one in texts)
        prompts = []
        for written, request in zip(texts, requests, strict=True):
            ids = encoded[written.text]
            ids = ids if written.is_chat else self.with_bos(ids)
            if not ids:
                ids, _ = self._after_nothing([])
            if not ids:
                raise VariantError(
                    f'request "{request.id}" has an empty prompt, and the tokenizer has neither a '
                    "beginning- nor an end-of-sequence token to start from."
                )
            max_tokens = request.decoding.max_tokens if request.decoding else 0
            kept = ids[-self._room(request) :]
            prompts.append(
                Prompt(
                    ids=tuple(kept),
                    n_prompt=len(kept),
                    max_tokens=min(max_tokens, self.context_length - len(kept)),
                    is_truncated=written.n_cut > 0 or len(kept) < len(ids),
                )
            )
        return prompts

    # ------------------------------------------------------------------------------------- text

    def written(self, requests: Sequence[Request]) -> list[Written]:
        """The text of every prompt; prompts that many requests share are written once."""
        texts: dict[object, Written] = {}
        for request in requests:
            key = self._key(request)
            if key not in texts:
                texts[key] = self.write(request)
        return [texts[self._key(request)] for request in requests]

    def _key(self, request: Request) -> object:
        is_text = isinstance(request.prompt, str)
        return request.prompt, request.tools, None if is_text else self._room(request)

    def write(self, request: Request) -> Written:
        """The text of one prompt. Messages that are too long lose the middle of the longest."""
        prompt, is_scored = request.prompt, request.continuation is not None
        if isinstance(prompt, str):
            return Written(prompt, False)
        tools = request.tools
        text = self._text(prompt, is_scored=is_scored, tools=tools)
        is_chat, room = self._template is not None, self._room(request)
        joint = self._joint(prompt, tools) if is_scored else ""
        if self._is_within(text, room):
            return Written(text, is_chat, joint=joint)
        kept = shorten(
            prompt,
            lambda turns: self._is_within(
                self._text(turns, is_scored=is_scored, tools=tools), room
            ),
        )
        if kept is None:
            return Written(text, is_chat, joint=joint)
        short = self._text(kept, is_scored=is_scored, tools=tools)
        lengths = {one: len(ids) for one, ids in self.encode_all([text, short]).items()}
        return Written(short, is_chat, lengths[text] - lengths[short], short.find(GAP), joint)

    def _text(self, messages: Sequence[Message], *, is_scored: bool, tools: str = "") -> str:
        if self._template is None:
            return plain_template(messages, is_scored=is_scored, tools=tools)
        if tools and tools not in self._shown_tools:
            refuse_template_without_tools(
                self.tokenizer, self._template, messages, tools, thinks=self.thinks
            )
            self._shown_tools.add(tools)
        return chat_text(self.tokenizer, self._template, messages, thinks=self.thinks, tools=tools)

    def _joint(self, messages: tuple[Message, ...], tools: str) -> str:
        """The joint of these roles; a template does not look at words for it."""
        if self._template is None:
            return ""
        roles = (*(["with tools"] if tools else ()), *(turn.role for turn in messages))
        if roles not in self._joints:
            self._joints[roles] = answer_joint(
                self.tokenizer, self._template, messages, thinks=self.thinks, tools=tools
            )
        return self._joints[roles]

    def _room(self, request: Request) -> int:
        """Tokens that a prompt may have beside its answer.

        Continuations of about the same length leave the same room, so that all labels of a case
        follow the same text.
        """
        if request.decoding is not None:
            room = self.context_length - request.decoding.max_tokens
            # A limit as long as the context: half of it for the prompt.
            return room if room >= 1 else max(1, self.context_length // 2)
        n_scored = len(self.encode_all([request.continuation or ""])[request.continuation or ""])
        step = max(1, min(_ANSWER_STEP, self.context_length // 16))
        room = self.context_length - step * ((n_scored + 1) // step + 1)
        return max(room, self.context_length // 2)

    def _is_within(self, text: str, room: int) -> bool:
        # No vocabulary makes more tokens than bytes, so that short texts need no encoding.
        if len(text.encode("utf-8", "surrogatepass")) + _N_SPECIALS <= room:
            return True
        return len(self.with_bos(self.encode_all([text])[text])) <= room

    @property
    def bos_text(self) -> str:
        """What the tokenizer puts in front of a text by itself, spelled out."""
        return "".join(self.tokenizer.convert_ids_to_tokens(self._bos))

    def first_token(self) -> str:
        """What is read before a continuation that follows nothing."""
        return str(self.tokenizer.bos_token or self.tokenizer.eos_token or "")

    def n_cut_on_the_left(self, request: Request, text: str) -> int:
        """Tokens at the beginning of a text, special ones included, that do not fit."""
        if self._is_within(text, self._room(request)):
            return 0
        if request.decoding is not None:
            return max(0, len(self.encode_all([text])[text]) - self._room(request))
        n_whole = len(self.encode_all([text])[text])
        return max(0, n_whole - self.scorings([request])[0].n_prompt)

    def with_bos(self, ids: list[int]) -> list[int]:
        """Add what the tokenizer puts in front by itself, unless the text spells it already."""
        if self._bos and ids[: len(self._bos)] != self._bos:
            return [*self._bos, *ids]
        return ids

    def _encode_pairs(self, pairs: Sequence[tuple[str, str]]) -> dict[str, list[int]]:
        """Ids of every context and of every context with its continuation.

        A context that many continuations share is encoded once. Its last word is encoded with each
        continuation, once per distinct pair; where that begins with the ids of the word alone, and
        the context ends with them, the continuation's ids can be appended. A sample is held
        against whole encodings, and one difference sends all pairs the long way.
        """
        contexts = self.encode_all(context for context, _ in pairs)
        uses = Counter(context for context, _ in dict.fromkeys(pairs))
        shared = [pair for pair in dict.fromkeys(pairs) if uses[pair[0]] > 1 and pair[0]]
        words = {context: _last_word(context) for context, _ in shared}
        tails = self.encode_all(
            itertools.chain(
                words.values(), dict.fromkeys(words[context] + rest for context, rest in shared)
            )
        )
        joined: dict[str, list[int]] = {}
        for context, rest in shared:
            word = words[context]
            head, both, ids = tails[word], tails[word + rest], contexts[context]
            n = len(head)
            if 0 < n < len(both) and both[:n] == head and n < len(ids) and ids[-n:] == head:
                joined[context + rest] = ids + both[n:]
        sample = list(joined)[:: max(1, len(joined) // _N_SAMPLED)]
        if any(joined[text] != ids for text, ids in self.encode_all(sample).items()):
            joined = {}
        whole = (context + rest for context, rest in pairs)
        return contexts | joined | self.encode_all(text for text in whole if text not in joined)

    def encode_all(self, texts: Iterable[str]) -> dict[str, list[int]]:
        """Ids of each distinct text, without special tokens of the tokenizer's own."""
        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return {}
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            slow = self.tokenizer(distinct, add_special_tokens=False, verbose=False)
            return dict(zip(distinct, slow["input_ids"], strict=True))
        backend.no_truncation()
        backend.no_padding()
        ids: dict[str, list[int]] = {}
        share = self._ints.setdefault
        # The tokenizer's own records are far larger than ids, and each list has integers of its own.
        for start in range(0, len(distinct), _N_ENCODED):
            texts_here = distinct[start : start + _N_ENCODED]
            found = backend.encode_batch_fast(texts_here, add_special_tokens=False)
            for text, encoding in zip(texts_here, found, strict=True):
                ids[text] = [share(number, number) for number in encoding.ids]
        return ids


def _last_word(text: str) -> str:
    """The end of a text from its last white space on, that white space included."""
    start = len(text)
    while start > 0 and not text[start - 1].isspace():
        start -= 1
    while start > 0 and text[start - 1].isspace():
        start -= 1
    return text[start:]


def _leading_specials(tokenizer: Any) -> list[int]:
    """Ids that the tokenizer puts before any text by itself."""
    bare = list(tokenizer("x", add_special_tokens=False)["input_ids"])
    full = list(tokenizer("x")["input_ids"])
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return full[:start]
    return []


def windows_of(ids: list[int], n_context: int, context_length: int, stride: int = 0) -> Scoring:
    """Cut a sequence so that each token after the context is scored once, in a fitting window.

    A window may hold one token more than the context: the last one is only predicted. A
    continuation longer than the context rolls: each further window sees as much on the left as
    fits. With a stride, windows of the context's length begin so many tokens apart.
    """
    n_scored = len(ids) - n_context
    if stride and len(ids) > context_length and n_context <= context_length // 2:
        return _strided(ids, n_context, context_length, min(stride, context_length))
    longest = context_length + 1
    if n_scored <= context_length:
        kept = ids[-longest:]
        is_cut = len(kept) < len(ids)
        window = Window(tuple(kept), n_scored)
        return Scoring((window,), len(kept) - n_scored, is_cut)
    kept_context = min(n_context, max(1, context_length // 2))
    is_cut = kept_context < n_context
    ids = ids[n_context - kept_context :]
    windows = [Window(tuple(ids[:longest]), longest - kept_context)]
    for start in range(longest, len(ids), context_length):
        end = min(start + context_length, len(ids))
        windows.append(Window(tuple(ids[max(0, end - longest) : end]), end - start))
    return Scoring(tuple(windows), kept_context, is_cut)


def _strided(ids: list[int], n_context: int, context_length: int, stride: int) -> Scoring:
    """Cut as transformers' page on perplexity does (fixed-length models, "stride")."""
    windows, scored = [], n_context
    for begin in range(0, len(ids), stride):
        end = min(begin + context_length, len(ids))
        windows.append(Window(tuple(ids[begin:end]), end - scored))
        scored = end
        if end == len(ids):
            break
    return Scoring(tuple(windows), n_context, False)

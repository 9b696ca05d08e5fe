"""Turns requests into token ids the way one variant reads them.

Text prompts are encoded as they stand. Messages go through the variant's chat template, or the
plain template where it has none. Not for: loading tokenizers, planning batches.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tuneval.errors import VariantError
from tuneval.types import Message, Request

DEFAULT_CONTEXT_LENGTH = 2048
"""Where a config says nothing; the length that lm-evaluation-harness assumes too."""

_N_SAMPLED = 16
_N_ENCODED = 2048
"""Texts that are encoded at once."""


@dataclass(frozen=True, slots=True)
class Window:
    """Token ids of which the last ``n_scored`` are scored, given all ids before them."""

    ids: tuple[int, ...]
    n_scored: int


@dataclass(frozen=True, slots=True)
class Scoring:
    """A request for a log-likelihood as ids. Its tokens are scored over the windows in order."""

    windows: tuple[Window, ...]
    n_prompt: int
    is_truncated: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request for completions as ids, and how many tokens there is room for."""

    ids: tuple[int, ...]
    n_prompt: int
    max_tokens: int
    is_truncated: bool = False


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
        False asks the template to leave thinking out; one that knows no thinking ignores it.
    """

    def __init__(
        self, tokenizer: Any, *, template: str | None, context_length: int, thinks: bool = True
    ) -> None:
        self.tokenizer = tokenizer
        self.context_length = context_length
        self._template = template
        self._switches = {} if thinks else {"enable_thinking": False}
        self._bos = _leading_specials(tokenizer)
        self._ints: dict[int, int] = {}

    # ---------------------------------------------------------------------------------- scoring

    def scorings(self, requests: Sequence[Request]) -> list[Scoring]:
        """Encode requests for log-likelihoods."""
        prompts = [self._prompt_text(request.prompt, is_scored=True) for request in requests]
        pairs = [
            self._pair(prompt, request.continuation or "", is_chat=is_chat)
            for (prompt, is_chat), request in zip(prompts, requests, strict=True)
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
                found[index] = _windows(ids, n_context, self.context_length)
        return [found[index] for index in range(len(pairs))]

    def _pair(self, context: str, rest: str, *, is_chat: bool) -> tuple[str, str, bool]:
        """Move the context's trailing white space to the continuation, where tokens keep it.

        Not after a chat template, whose end is what the model was trained to answer to.
        """
        stripped = context if is_chat else context.rstrip()
        return stripped, context[len(stripped) :] + rest, is_chat

    def _split(
        self, encoded: dict[str, list[int]], context: str, rest: str, *, is_chat: bool
    ) -> tuple[list[int], int]:
        """Encode context and continuation together and cut by the context's own length."""
        head = encoded[context] if is_chat else self._with_bos(encoded[context])
        whole = encoded[context + rest] if is_chat else self._with_bos(encoded[context + rest])
        if len(whole) > len(head) and (not is_chat or whole[: len(head)] == head):
            return whole, len(head)
        return head + self._encode_all([rest])[rest], len(head)

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
        """Encode requests for completions, cut on the left to leave room for the answer."""
        texts = [self._prompt_text(request.prompt, is_scored=False) for request in requests]
        encoded = self._encode_all(text for text, _ in texts)
        prompts = []
        for (text, is_chat), request in zip(texts, requests, strict=True):
            ids = encoded[text] if is_chat else self._with_bos(encoded[text])
            if not ids:
                ids, _ = self._after_nothing([])
            if not ids:
                raise VariantError(
                    f'request "{request.id}" has an empty prompt, and the tokenizer has neither a '
                    "beginning- nor an end-of-sequence token to start from."
                )
            max_tokens = request.decoding.max_tokens if request.decoding else 0
            room = self.context_length - max_tokens
            if room < 1:  # a limit as long as the context: half of it for the prompt
                room = max(1, self.context_length // 2)
            kept = ids[-room:]
            prompts.append(
                Prompt(
                    ids=tuple(kept),
                    n_prompt=len(kept),
                    max_tokens=min(max_tokens, self.context_length - len(kept)),
                    is_truncated=len(kept) < len(ids),
                )
            )
        return prompts

    # ------------------------------------------------------------------------------------- text

    def _prompt_text(
        self, prompt: str | tuple[Message, ...], *, is_scored: bool
    ) -> tuple[str, bool]:
        """A prompt as text, and whether a chat template made it."""
        if isinstance(prompt, str):
            return prompt, False
        if self._template is None:
            return plain_template(prompt, is_scored=is_scored), False
        import jinja2

        turns = [{"role": turn.role, "content": turn.content} for turn in prompt]
        try:
            text = self.tokenizer.apply_chat_template(
                turns,
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=True,
                **self._switches,
            )
        except jinja2.TemplateError as error:
            roles = ", ".join(turn.role for turn in prompt)
            raise VariantError(
                f"the chat template refuses these messages ({roles}): {error}.\n"
                "Use --chat-template off for the plain template, or leave the system text out."
            ) from error
        return text, True

    def _with_bos(self, ids: list[int]) -> list[int]:
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
        contexts = self._encode_all(context for context, _ in pairs)
        uses = Counter(context for context, _ in dict.fromkeys(pairs))
        shared = [pair for pair in dict.fromkeys(pairs) if uses[pair[0]] > 1 and pair[0]]
        words = {context: _last_word(context) for context, _ in shared}
        tails = self._encode_all(
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
        if any(joined[text] != ids for text, ids in self._encode_all(sample).items()):
            joined = {}
        whole = (context + rest for context, rest in pairs)
        return contexts | joined | self._encode_all(text for text in whole if text not in joined)

    def _encode_all(self, texts: Iterable[str]) -> dict[str, list[int]]:
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


def plain_template(messages: Sequence[Message], *, is_scored: bool) -> str:
    """Messages as text where there is no chat template.

    System text and each answered turn end in a blank line; question and answer are joined by
    nothing after white space, by a blank after ":", else by a line break. The blank belongs to the
    answer's first token in most vocabularies, so a prompt for generation ends before it.
    """
    text = ""
    for index, turn in enumerate(messages):
        is_last = index == len(messages) - 1
        if turn.role != "user":
            text += turn.content + ("" if is_last else "\n\n")
            continue
        between = joiner(turn.content)
        text += turn.content + (between.rstrip(" ") if is_last and not is_scored else between)
    return text


def joiner(content: str) -> str:
    """What stands between a question and its answer in the plain template."""
    if not content or content[-1].isspace():
        return ""
    return " " if content.endswith(":") else "\n"


def _leading_specials(tokenizer: Any) -> list[int]:
    """Ids that the tokenizer puts before any text by itself."""
    bare = list(tokenizer("x", add_special_tokens=False)["input_ids"])
    full = list(tokenizer("x")["input_ids"])
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return full[:start]
    return []


def _windows(ids: list[int], n_context: int, context_length: int) -> Scoring:
    """Cut a sequence so that each token after the context is scored once, in a fitting window.

    A window may hold one token more than the context: the last one is only predicted. A
    continuation longer than the context rolls: each further window sees as much on the left as
    fits.
    """
    n_scored = len(ids) - n_context
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

"""Requests -> the exact text that a variant reads, for people and files; needs no weights.

``shown`` writes what ``Renderer`` turns into ids; ``renderer_of`` makes the renderer of a variant
from its folders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneval.engine.hf.text import bare, tokenizer, words
from tuneval.engine.hf.text.render import DEFAULT_CONTEXT_LENGTH, Renderer, Written
from tuneval.engine.hf.text.source import SourceRenderer, start_of
from tuneval.engine.hf.text.tokenizer import ChatTemplate, Spoken, TokenizerFrom
from tuneval.engine.hf.weights.folder import ModelFolder
from tuneval.engine.hf.weights.labels import HeadLabels
from tuneval.errors import VariantError, gather
from tuneval.types import READS_TEXTS, Head, Request, ShownPrompt

EMBEDDINGS = (
    "embed_tokens.weight",
    "wte.weight",
    "embed_in.weight",
    "word_embeddings.weight",
    "shared.weight",
)


_POSITIONS = frozenset(("max_position_embeddings", "max_encoder_position_embeddings"))
"""Settings of models with a table of positions, beyond which they cannot read."""


def shown_to(
    head: Head,
    renderer: Renderer,
    labels: HeadLabels | None,
    given: str,
    requests: Sequence[Request],
) -> list[ShownPrompt]:
    """What a variant of a head reads of every request; ``labels`` are those of a head over labels."""
    if head == "tokens":
        return words.shown(renderer.tokenizer, renderer.context_length, given, requests)
    if labels is not None:
        longest = renderer.context_length
        return bare.shown(renderer.tokenizer, longest, labels, given, requests)
    return shown(renderer, requests)


def shown(renderer: Renderer, requests: Sequence[Request]) -> list[ShownPrompt]:
    """The text of every request as the model reads it, cut where it is cut.

    Raises
    ------
    VariantError
        The chat template refuses the messages or loses the text of a turn; or the vocabulary has no
        way to spell an answer, or spells two answers to one question alike.
    """
    _check_answers(renderer, requests)
    if isinstance(renderer, SourceRenderer):
        return [renderer.shown(request) for request in requests]
    return [
        _shown(renderer, request, written)
        for request, written in zip(requests, renderer.written(requests), strict=True)
    ]


def _check_answers(renderer: Renderer, requests: Sequence[Request]) -> None:
    """Refuse answers to one question that the model could not tell apart."""
    by_prompt: dict[object, dict[str, Request]] = {}  # a prompt is one with its tools
    for request in requests:
        if (
            request.continuation is not None and request.prompt
        ):  # texts after nothing answer nothing
            by_prompt.setdefault((request.prompt, request.tools), {})[request.continuation] = (
                request
            )
    unknown = getattr(renderer.tokenizer, "unk_token_id", None)
    for answers in by_prompt.values():
        if len(answers) < 2:  # no choice between answers
            continue
        spelled: dict[tuple[int, ...], list[str]] = {}
        scorings = renderer.scorings(list(answers.values()))
        for answer, scoring in zip(answers, scorings, strict=True):
            window = scoring.windows[-1]
            spelled.setdefault(window.ids[len(window.ids) - window.n_scored :], []).append(answer)
        faults = [_alike(same) for same in spelled.values() if len(same) > 1]
        faults += [
            f'"{same[0].strip()}" holds characters that it does not know'
            for ids, same in spelled.items()
            if len(same) == 1 and unknown in ids and renderer.tokenizer.unk_token not in same[0]
        ]
        if faults:
            raise VariantError(
                gather(
                    "The tokenizer cannot spell these answers, so that their likelihood says nothing.",
                    faults,
                    "Name them in words that it knows (--labels RAW=NAME,...), or have the answer "
                    "written (--scoring generate).",
                )
            )


def _alike(answers: Sequence[str]) -> str:
    return " and ".join(f'"{one.strip()}"' for one in answers) + " become the same tokens"


def _shown(renderer: Renderer, request: Request, written: Written) -> ShownPrompt:
    text, continuation = written.text, request.continuation
    if continuation is not None:
        text, continuation, _ = renderer.pair(written, continuation)
    if not text:
        text = renderer.first_token()
    elif not written.is_chat and not text.startswith(renderer.bos_text):
        text = renderer.bos_text + text
    n_left = renderer.n_cut_on_the_left(request, text)
    if n_left == 0:
        return ShownPrompt(text, continuation, written.n_cut, written.cut_at)
    ids = renderer.encode_all([text])[text]
    kept = renderer.tokenizer.decode(ids[n_left:], clean_up_tokenization_spaces=False)
    # By tokens, not by text: a tokenizer may spell what it read otherwise (small letters, accents).
    needed = text[_half_of_what_is_asked(request, text) :]
    is_lost = len(ids) - n_left < len(renderer.encode_all([needed])[needed])
    return ShownPrompt(kept, continuation, n_left, 0, is_lost)


def _half_of_what_is_asked(request: Request, text: str) -> int:
    """The middle of the last turn, or of an exact prompt, in the whole text."""
    prompt = request.prompt
    asked = (prompt if isinstance(prompt, str) else prompt[-1].content).strip()
    return max(0, text.rfind(asked)) + len(asked) // 2


@dataclass(frozen=True, slots=True)
class Folders:
    """What is known of a variant on disk, and the tokenizers that lie there (None: none)."""

    name: str
    model: ModelFolder | None
    adapter: ModelFolder | None
    base_tokenizer: Any
    own_tokenizer: Any = None


def spoken_by(
    folders: Folders,
    *,
    tokenizer_from: TokenizerFrom = "auto",
    chat_template: ChatTemplate = "auto",
) -> Spoken:
    """Settle the tokenizer and the template of a variant.

    Raises
    ------
    VariantError
        There is no tokenizer, or those of base and adapter disagree.
    """
    model, adapter = folders.model, folders.adapter
    base, own = folders.base_tokenizer, folders.own_tokenizer
    given = model.given if model else folders.name
    if base is None and own is None:
        raise VariantError(
            f'"{given}" has no tokenizer files.\n'
            "Copy those of the model that it was trained from into its folder."
        )
    if adapter is None or base is None:
        return tokenizer.speak(
            base or own, chat_template, origin="own", owner="own", who=folders.name
        )
    return tokenizer.reconcile(
        base,
        own,
        adapter=adapter.given,
        base=given,
        has_resized_embeddings=has_own_embeddings(adapter),
        tokenizer_from=tokenizer_from,
        chat_template=chat_template,
    )


def has_own_embeddings(adapter: ModelFolder | None) -> bool:
    """Whether an adapter brings a whole embedding matrix."""
    return adapter is not None and bool(rows_of_own_embeddings(adapter))


def rows_of_own_embeddings(adapter: ModelFolder) -> list[int]:
    """Of each embedding matrix that an adapter brings: how many tokens it has."""
    return [
        shape[0]
        for key, shape in adapter.adapter_tensors.items()
        if key.replace(".token_adapter.base_layer.", ".").endswith(EMBEDDINGS)
    ]


def context_length(length: object, spoken: Spoken, head: Head = "causal") -> int:
    """Tokens that the model reads at most: as its config says, else as its tokenizer says.

    Of a head over labels, whichever is less: RoBERTa's kind has two places more than it can use.
    """
    named = getattr(spoken.tokenizer, "model_max_length", None)
    if isinstance(length, int) and length:
        is_shorter = head in READS_TEXTS and named and named < length
        return int(named) if is_shorter and named else length
    # Tokenizers that know no limit say 1e30.
    return int(named) if named and named < 1e9 else DEFAULT_CONTEXT_LENGTH


def renderer_for(
    spoken: Spoken,
    head: Head,
    *,
    length: object,
    config: Mapping[str, Any],
    generation: Mapping[str, Any],
    who: str,
    asked: int | None = None,
    thinks: bool = True,
) -> Renderer:
    """The renderer of a head, with what a model's ``config.json`` and ``generation_config.json`` say.

    ``asked``: the longest input that the user wants.

    Raises
    ------
    VariantError
        The model has no positions for that many tokens.
    """
    limit = context_length(length, spoken, head)
    if asked is not None:
        has_table = head != "seq2seq" or not _POSITIONS.isdisjoint(config)
        if asked > limit and has_table:
            raise VariantError(
                f'"{who}" reads {limit:,} tokens at most, and backend.context_length asks for {asked:,}.\n'
                "Only a model with relative positions (T5) reads more than its folder says."
            )
        limit = asked
    if head != "seq2seq":
        return Renderer(
            spoken.tokenizer, template=spoken.template, context_length=limit, thinks=thinks
        )
    return SourceRenderer(
        spoken.tokenizer,
        template=spoken.template,
        context_length=limit,
        thinks=thinks,
        start=start_of(config, generation, spoken.tokenizer, who),
        longest_answer=config.get("max_decoder_position_embeddings")
        or config.get("max_position_embeddings"),
    )


def renderer_of(
    name: str,
    model: ModelFolder,
    adapter: ModelFolder | None = None,
    *,
    tokenizer_from: TokenizerFrom = "auto",
    chat_template: ChatTemplate = "auto",
    thinks: bool = True,
    trust_remote_code: bool = False,
    head: Head = "causal",
    asked: int | None = None,
) -> Renderer:
    """The renderer of a variant, from its folders alone; imports neither torch nor weights."""
    own = None if adapter is None else tokenizer.load(adapter, trust_remote_code=trust_remote_code)
    base = tokenizer.load(model, trust_remote_code=trust_remote_code)
    spoken = spoken_by(
        Folders(name, model, adapter, base, own),
        tokenizer_from=tokenizer_from,
        chat_template=chat_template,
    )
    return renderer_for(
        spoken,
        head,
        length=model.context_length,
        config=model.config,
        generation=model.generation,
        who=model.given,
        asked=asked,
        thinks=thinks,
    )

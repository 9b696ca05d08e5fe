"""Loads tokenizers and settles which one a variant speaks when base and adapter disagree.

Not for: turning requests into ids (``render.py``).
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from tuneval.engine.hf.weights.folder import ModelFolder
from tuneval.errors import TokenizerMismatch, VariantError

TokenizerFrom = Literal["auto", "base", "adapter"]
ChatTemplate = Literal["auto", "on", "off"]
# What a tokenizer may split differently although its vocabulary is the same.
_PROBES = (
    "Once upon a time, there was a 12-year-old.",
    "  two spaces\n\n\ttab: naïve café — 東京 🙂",
    "def f(x):\n    return x[0] != None  # C:\\dir",
)
_RARE = "\U00010380 \u1c5a \u2ff0"
"""Letters that a vocabulary without bytes does not know."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """The tokenizer of one variant.

    ``template`` is the chat template in use, None for the plain template; ``prompt_format`` and
    ``origin`` say in words where both come from.
    """

    tokenizer: Any
    template: str | None
    prompt_format: str
    origin: str
    fingerprint: str
    warnings: tuple[str, ...] = ()


def load(folder: ModelFolder, *, trust_remote_code: bool = False) -> Any:
    """Load the tokenizer of a folder, or None where it has none."""
    if not any(file.name != "chat_template.jinja" for file in folder.tokenizer_files):
        return None
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder.path), local_files_only=True, trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError, KeyError, TypeError, ImportError, AttributeError) as error:
        raise VariantError(
            f'"{folder.given}": its tokenizer cannot be loaded ({type(error).__name__}: {error}).\n'
            "Copy the tokenizer files again, or save them with tokenizer.save_pretrained."
        ) from error
    tokenizer.clean_up_tokenization_spaces = False  # text must come back as it was written
    return tokenizer


@contextmanager
def without_torch() -> Iterator[None]:
    """Let transformers load tokenizers without torch, which takes seconds and is not needed for them.

    Where either of them was imported before, nothing is changed.
    """
    if "torch" in sys.modules or "transformers" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    try:
        yield
    finally:  # as if it had never been imported: it remembers that there was no torch
        del sys.modules["torch"]
        for name in [one for one in sys.modules if one.partition(".")[0] == "transformers"]:
            del sys.modules[name]


def fingerprint(tokenizer: Any) -> str:
    """Hash of all that decides which ids a text becomes and back."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        state = json.loads(backend.to_str())
        # Calling a fast tokenizer leaves its last padding and truncation behind.
        state["padding"] = state["truncation"] = None
        rules = json.dumps(state, sort_keys=True, ensure_ascii=False)
    else:
        rules = json.dumps(sorted(tokenizer.get_vocab().items()), ensure_ascii=False)
        rules += "".join(str(tokenizer(text)["input_ids"]) for text in _PROBES)
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    special.pop("pad_token", None)  # scores never see it
    content = json.dumps([rules, sorted(special.items())], ensure_ascii=False)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def speak(
    tokenizer: Any, template_choice: ChatTemplate, *, origin: str, owner: str, who: str
) -> Spoken:
    """Decide the chat template of a tokenizer that needs no reconciling."""
    template = tokenizer.chat_template if template_choice != "off" else None
    if isinstance(template, dict):
        template = template.get("default")
    if template is None and template_choice == "on":
        raise VariantError(
            f'"{who}": its tokenizer has no chat template, but --chat-template on asks for one.\n'
            "Use --chat-template auto, or add a chat_template to tokenizer_config.json."
        )
    return Spoken(
        tokenizer=tokenizer,
        template=template,
        prompt_format=f"{owner} chat template" if template else "plain template",
        origin=origin,
        fingerprint=fingerprint(tokenizer),
    )


def reconcile(
    base_tokenizer: Any,
    adapter_tokenizer: Any | None,
    *,
    adapter: str,
    base: str,
    has_resized_embeddings: bool,
    tokenizer_from: TokenizerFrom = "auto",
    chat_template: ChatTemplate = "auto",
) -> Spoken:
    """Settle which tokenizer and template an adapter speaks.

    The adapter's own tokenizer is used where it gives the same ids as the base's, or where the
    adapter brings embeddings for the tokens that it added.

    Raises
    ------
    TokenizerMismatch
        They give different ids and nobody said which one to use.
    """
    if tokenizer_from == "base" or adapter_tokenizer is None:
        if tokenizer_from == "adapter":
            raise TokenizerMismatch(
                f'adapter "{adapter}" has no tokenizer files, but --tokenizer-from adapter asks '
                "for them. Leave the flag out to use the base's tokenizer."
            )
        origin = (
            "base's (the adapter has none)" if adapter_tokenizer is None else "base's, as asked"
        )
        return speak(base_tokenizer, chat_template, origin=origin, owner="base's", who=base)
    difference = _difference(base_tokenizer, adapter_tokenizer)
    asked = tokenizer_from == "adapter"
    is_known = difference is None or difference.is_harmless or has_resized_embeddings
    if difference is not None and not is_known and not asked:
        raise TokenizerMismatch(
            f'adapter "{adapter}" brings another tokenizer than "{base}": {difference.text}.\n'
            f"    base     {fingerprint(base_tokenizer)[:12]}, {len(base_tokenizer)} tokens\n"
            f"    adapter  {fingerprint(adapter_tokenizer)[:12]}, {len(adapter_tokenizer)} tokens\n"
            f"{difference.advice}"
        )
    origin = "adapter's own, same ids as the base's"
    if difference is not None and difference.is_harmless:
        origin += f" ({difference.text})"
    elif difference is not None:
        origin = f"adapter's own{', as asked' if asked else ''}: {difference.text}"
    spoken = speak(
        adapter_tokenizer, chat_template, origin=origin, owner="adapter's own", who=adapter
    )
    warnings: tuple[str, ...] = ()
    if spoken.template and base_tokenizer.chat_template not in (None, spoken.template):
        warnings = (f'the chat template of "{adapter}" differs from that of "{base}".',)
    elif spoken.template and base_tokenizer.chat_template is None:
        warnings = (
            f'"{adapter}" has a chat template and "{base}" has none: messages reach the base in '
            "the plain template.",
        )
    return Spoken(
        spoken.tokenizer,
        spoken.template,
        spoken.prompt_format,
        spoken.origin,
        spoken.fingerprint,
        warnings,
    )


@dataclass(frozen=True, slots=True)
class _Difference:
    """What two tokenizers do not share. Harmless: the same texts become the same ids all the same."""

    text: str
    advice: str = ""
    is_harmless: bool = False


_TRAINED_TOKENS = (
    "The adapter brings no embeddings for them. If it was trained with them, save it again with "
    'modules_to_save=["embed_tokens", "lm_head"] or trainable_token_indices; if they do not matter, '
    "give --tokenizer-from base."
)
_OTHER_BASE = (
    "Is this the base that it was trained from? If it is, say which tokenizer to use with "
    "--tokenizer-from base or --tokenizer-from adapter."
)


def _difference(base: Any, adapter: Any) -> _Difference | None:
    """What makes two tokenizers differ, what matters before what does not; None where nothing does."""
    mine, theirs = base.get_vocab(), adapter.get_vocab()
    added, lost = sorted(set(theirs) - set(mine)), sorted(set(mine) - set(theirs))
    if any(theirs[token] != mine[token] for token in set(mine) & set(theirs)) or (added and lost):
        return _Difference(
            f"{len(theirs)} tokens instead of {len(mine)}, or other ids", _OTHER_BASE
        )
    if used := _used(added, adapter) or _used(lost, base):
        many = added or lost
        more = "more" if added else "fewer"
        text = f'{len(many)} token{"s" * (len(many) > 1)} {more} (first: "{used}")'
        return _Difference(text, _TRAINED_TOKENS if added else _OTHER_BASE)
    for text in _PROBES:
        if base(text)["input_ids"] != adapter(text)["input_ids"]:
            return _Difference(f'the text "{text[:24]}..." becomes other ids', _OTHER_BASE)
    names = [name for name in _NAMED if getattr(base, name) != getattr(adapter, name)]
    if "unk_token" in names and (_has_unknown(base) or _has_unknown(adapter)):
        return _Difference(_renamed("unk_token", base, adapter), _OTHER_BASE)
    told = [_renamed(name, base, adapter) for name in names]
    if added or lost:
        told.append(f"{len(added or lost)} special tokens {'more' if added else 'fewer'}, not used")
    return _Difference("; ".join(told), is_harmless=True) if told else None


_NAMED = ("bos_token", "eos_token", "unk_token")
"""Padding is no part of it: scores never see it."""


def _used(tokens: Sequence[str], tokenizer: Any) -> str:
    """The first of these tokens that a text can hold, or that the template or an end writes."""
    special = {str(one) for one in tokenizer.added_tokens_decoder.values() if one.special}
    written = f"{tokenizer.bos_token} {tokenizer.eos_token} {tokenizer.chat_template}"
    written += _conversation(tokenizer) if tokens else ""
    return next((one for one in tokens if one not in special or one in written), "")


def _conversation(tokenizer: Any) -> str:
    """What the chat template makes of a turn of each kind; some put their tokens together."""
    import jinja2

    turns = [{"role": role, "content": "x"} for role in ("system", "user", "assistant", "user")]
    for said in (turns, turns[1:]):  # some refuse a system turn
        try:
            return str(
                tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
            )
        except (jinja2.TemplateError, ValueError):  # ValueError: there is no template
            continue
    return ""


def _has_unknown(tokenizer: Any) -> bool:
    """Whether some text becomes the unknown token; a vocabulary of bytes has none."""
    unknown = tokenizer.unk_token_id
    return any(unknown in tokenizer(text)["input_ids"] for text in (*_PROBES, _RARE))


def _renamed(name: str, base: Any, adapter: Any) -> str:
    return f'{name} is "{getattr(adapter, name)}" instead of "{getattr(base, name)}"'

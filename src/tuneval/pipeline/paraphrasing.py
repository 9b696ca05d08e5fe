"""``tuneval paraphrase``: a model writes the test cases in other words, a filter keeps those that
may pass for the same question, and a person looks them through. A run only reads such files.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tuneval.data.read import read
from tuneval.engine.answer import answer
from tuneval.engine.journal import Journal
from tuneval.errors import ConfigError
from tuneval.perturbations.paraphrase import objection, unlikeness
from tuneval.perturbations.text import main_text
from tuneval.pipeline.build import make_backend
from tuneval.pipeline.folder import answers_home
from tuneval.plan.spec import RunSpec
from tuneval.report.files import replace_file
from tuneval.types import (
    Case,
    Completion,
    Decoding,
    Message,
    NoProgress,
    Progress,
    Request,
    Response,
    Variant,
)

INSTRUCTION = """\
Say the following text in other words. Keep its meaning, its tone, every number, every name and \
every negation, and about its length. Answer with the new text only.

Text: {text}

In other words:"""

TEMPERATURE = 0.8
"""Where several paraphrases of a case are asked for; a single one is drawn greedily."""

_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb"}


class Rejected(NamedTuple):
    """A text that was not taken, and why."""

    id: str
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote of a test file. ``accepted`` holds case id, paraphrase and original."""

    accepted: tuple[tuple[str, str, str], ...]
    rejected: tuple[Rejected, ...]
    n_cases: int
    n_without_text: int

    @property
    def counts(self) -> dict[str, int]:
        """Reason -> how many were rejected for it, the most frequent first."""
        return dict(Counter(one.why for one in self.rejected).most_common())

    @property
    def n_covered(self) -> int:
        """Cases with a paraphrase."""
        return len({case_id for case_id, _, _ in self.accepted})


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes. ``model`` is a folder or hub id, or "openai:NAME" for a model behind the
    OpenAI-compatible server at ``url``; ``options`` are those of the backend: device, dtype, ..."""

    model: str
    url: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def paraphrase(
    data: str,
    output: str | Path,
    writer: Writer,
    *,
    n_per_case: int = 1,
    sampling_seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
    **cases: Any,
) -> Written:
    """Write paraphrases of a test file to ``output`` (JSON Lines: id, text, original).

    Beside it, "NAME.rejected.json" says what was not taken and why. Every answer is remembered as
    it arrives: after an interrupt the same call goes on from there.

    Parameters
    ----------
    **cases
        ``columns``, ``task``, ``labels``, ``limit``, ``split`` as for a comparison.

    Raises
    ------
    TunevalError
        The file cannot be read or written, or the model cannot be had.
    """
    target = Path(output)
    _refuse(target, overwrite, n_per_case)
    found = read(data, allow_duplicate_ids=True, **cases)
    texts = {case.id: text for case in found.cases if (text := main_text(case))}
    spec = _spec(data, writer)
    requests = [
        _request(case, texts[case.id], n_per_case, sampling_seed)
        for case in _with(found.cases, texts)
    ]
    variant = Variant("paraphraser", "base", str(spec.variants[0].model))
    engine = make_backend(spec, None)
    journal = Journal(answers_home())
    try:
        engine.prepare([variant])
        responses = answer(engine, variant, requests, journal, progress or NoProgress())
    finally:
        journal.close()
        engine.close()
    written = sift(texts, {one.case_id: responses[one.id] for one in requests}, len(found.cases))
    _write(target, written, writer.model)
    return written


def _with(cases: Sequence[Case], texts: Mapping[str, str]) -> Iterator[Case]:
    return (case for case in cases if case.id in texts)


def _refuse(target: Path, overwrite: bool, n_per_case: int) -> None:
    if target.suffix != ".jsonl":
        raise ConfigError(f'-o "{target}": give a name that ends in .jsonl.')
    if target.exists() and not overwrite:
        raise ConfigError(
            f'"{target}" is there already, and somebody may have looked it through.\n'
            "Give another name, or --overwrite."
        )
    if not target.absolute().parent.is_dir():
        raise ConfigError(f'-o "{target}": its folder does not exist.')
    if n_per_case < 1:
        raise ConfigError(f'--per-case "{n_per_case}" is not a number of at least 1.')


def _spec(data: str, writer: Writer) -> RunSpec:
    model, url = writer.model, writer.url
    kind, colon, name = model.partition(":")
    is_served = bool(colon) and kind == "openai"
    if url is not None and not is_served:
        raise ConfigError(f"--url goes with a served model: --with openai:{model}.")
    return RunSpec.from_dict(
        {
            "variants": [{"name": "paraphraser", "model": name if is_served else model}],
            "cases": [{"file": data}],
            "backend": {
                "kind": "openai" if is_served else "hf",
                **({"base_url": url} if url else {}),
                **writer.options,
            },
        },
        source="the command",
    )


def _request(case: Case, text: str, n: int, sampling_seed: int) -> Request:
    """Twice the length is refused anyway, and a token is rarely less than two characters."""
    decoding = Decoding(
        max_tokens=32 + len(text),
        stop=() if "\n" in text.strip() else ("\n\n",),
        temperature=TEMPERATURE if n > 1 else 0.0,
        n_completions=n,
        sampling_seed=sampling_seed,
    )
    prompt = (Message("user", INSTRUCTION.replace("{text}", text)),)
    return Request(f"{case.id}#paraphrase", case.id, prompt, decoding=decoding)


def sift(texts: Mapping[str, str], responses: Mapping[str, Response], n_cases: int) -> Written:
    """Keep what may pass for the same text in other words.

    Parameters
    ----------
    texts, responses : mapping
        By case id.
    """
    accepted: list[tuple[str, str, str]] = []
    rejected: list[Rejected] = []
    for case_id, response in responses.items():
        original = texts[case_id]
        taken: set[str] = set()
        if response.problem is not None:
            rejected.append(Rejected(case_id, "", "no answer"))
        for completion in response.completions:
            text = bare(completion.text, original)
            why = _why_not(text, original, completion, taken)
            if why is None:
                taken.add(text)
                accepted.append((case_id, text, original))
            else:
                rejected.append(Rejected(case_id, text, why))
    return Written(tuple(accepted), tuple(rejected), n_cases, n_cases - len(texts))


def _why_not(text: str, original: str, completion: Completion, taken: set[str]) -> str | None:
    if not text:
        return "an empty answer"
    if completion.finish_reason == "length":
        return "cut at the token limit"
    if text in taken:
        return "said twice"
    why = objection(original, text)
    if why is not None and why.endswith("times as long"):
        return "less than half or more than twice as long"
    return why or unlikeness(original, text)


def bare(said: str, original: str) -> str:
    """The new text without quotation marks around it, and without what follows it: of a text of
    one line the first line counts."""
    text = said.strip()
    if "\n" not in original.strip():
        text = text.partition("\n")[0].strip()
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and original.strip()[:1] != text[0]:
        text = text[1:-1].strip()
    return text


def companion(target: Path) -> Path:
    """Where it stands what was rejected."""
    return target.with_name(f"{target.stem}.rejected.json")


def _write(target: Path, written: Written, model: str) -> None:
    lines = (
        json.dumps({"id": case_id, "text": text, "original": original}, ensure_ascii=False)
        for case_id, text, original in written.accepted
    )
    about = {
        "model": model,
        "instruction": INSTRUCTION,
        "n_cases": written.n_cases,
        "n_cases_with_paraphrase": written.n_covered,
        "n_accepted": len(written.accepted),
        "rejected": written.counts,
        "texts": [one._asdict() for one in written.rejected],
    }
    try:
        replace_file(companion(target), json.dumps(about, ensure_ascii=False, indent=1) + "\n")
        replace_file(target, "".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise ConfigError(f'"{target}" cannot be written: {error.strerror}.') from None

"""What every variant is asked, as it reads it: seen before the first case, and refused where the
question does not reach the model.

Not for: writing prompts, which is the engine's; for the wording itself see ``tasks/wording.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tuneval.engine import Backend
from tuneval.engine.hf.text.cutting import GAP
from tuneval.errors import DataError, gather
from tuneval.plan.resolve import Plan
from tuneval.plan.spec import CasesSpec
from tuneval.tasks import Task
from tuneval.types import (
    READS_TEXTS,
    Case,
    CaseSet,
    Head,
    Request,
    RunResult,
    ShownPrompt,
    Variant,
)

Show = Callable[[Variant, Sequence[Request]], Sequence[ShownPrompt]]
"""The exact text of requests as a variant reads them."""
Key = tuple[str, str]
"""Name of a case set, id of a case."""

MOST_LINES = 8
"""Lines of one prompt on the console; the middle of a longer one is left out, and said so."""
WIDEST_LINE = 100


@dataclass(frozen=True, slots=True)
class Prompts:
    """The first prompt of every case for every variant. Equal ones are held once.

    ``of`` maps variant name and case to a place in ``texts``.
    """

    texts: tuple[ShownPrompt, ...] = ()
    of: Mapping[str, Mapping[Key, int]] = field(default_factory=dict)

    def join(self, result: RunResult) -> RunResult:
        """The result with every text, and the place of each of its cases' own by variant."""
        cases = [(one.name, case.id) for one in result.case_sets for case in one.cases]
        places = {name: tuple(map(known.get, cases)) for name, known in self.of.items()}
        return replace(result, prompts=self.texts, prompt_places=places)


def show_of(backend: Backend) -> Show | None:
    """How a backend shows what it is asked; None where it does not."""
    return getattr(backend, "shown", None)


def see(
    case_sets: Sequence[CaseSet],
    variants: Sequence[Variant],
    asked: Mapping[str, Task],
    show: Show | None,
) -> Prompts:
    """Write the first request of every case as every variant reads it."""
    if show is None:
        return Prompts()
    cases = [(one.name, case) for one in case_sets for case in one.cases]
    requests = [asked[name].ask(case)[0] for name, case in cases]
    places: dict[ShownPrompt, int] = {}
    of: dict[str, dict[Key, int]] = {}
    of_first = [
        one for cases in case_sets if cases.cases for one in asked[cases.name].ask(cases.cases[0])
    ]
    for variant in variants:
        if variant.kind == "majority":  # reads nothing
            continue
        show(variant, of_first)  # all answers to one question: can they be told apart?
        found = zip(cases, requests, show(variant, requests), strict=True)
        of[variant.name] = {
            (name, case.id): places.setdefault(
                _judged(variant.head, case, request, shown), len(places)
            )
            for (name, case), request, shown in found
        }
    return Prompts(tuple(places), of)


def _judged(head: Head, case: Case, request: Request, shown: ShownPrompt) -> ShownPrompt:
    """Whether a text that lost its beginning (an encoder's: its end) has lost its question."""
    if shown.n_cut == 0 or head in READS_TEXTS:
        return shown
    if (
        head == "seq2seq"
    ):  # a text that is summed up or sorted is no question: it is cut as in training
        asked = str(case.inputs.get("question") or case.inputs.get("instruction") or "")
        return replace(shown, is_question_lost=asked[: len(asked) // 2 + 1] not in shown.text)
    if not isinstance(request.prompt, str):
        return shown
    question = _question(case)
    at = request.prompt.rfind(question) if question else -1
    if at < 0:
        return replace(shown, is_question_lost=False)
    n_after = len(request.prompt) - at - len(question)
    n_left = max(0, len(shown.text) - n_after)
    return replace(shown, is_question_lost=2 * n_left < len(question))


def _question(case: Case) -> str:
    for key in ("question", "instruction", "text", "prompt"):
        value = case.inputs.get(key)
        if isinstance(value, str) and value:
            return value
    return ""


def look_at_prompts(
    plan: Plan, asked: Mapping[str, Task], show: Show | None, *, is_tried: bool = False
) -> tuple[Plan, Prompts]:
    """See every prompt before the first case; the plan then holds lines that show the first ones.

    Raises
    ------
    DataError, VariantError
        A question does not reach a model whole enough, or a template loses a part of it.
    """
    seen = see(plan.case_sets, plan.variants, asked, show)
    refuse_lost_questions(plan, seen)
    # Looked at again where a trial chose other words: what was said stays said once.
    notes = dict.fromkeys((*plan.notes, *_notes(seen), *unused_settings(plan, asked)))
    lines = tuple(lines_about(plan, seen, asked, is_tried=is_tried))
    return replace(plan, first_prompts=lines, notes=tuple(notes)), seen


def _notes(seen: Prompts) -> Iterator[str]:
    """How many prompts were cut for whom, and how many of them lost their question."""
    for variant, of in seen.of.items():
        cut = [seen.texts[place] for place in of.values() if seen.texts[place].n_cut]
        n_lost = sum(one.is_question_lost for one in cut)
        lost = f", {n_lost:,} of them have lost their question" if n_lost else ""
        if cut:
            yield f"{variant}: {len(cut):,} of {len(of):,} prompts do not fit and are cut{lost}"


def unused_settings(plan: Plan, asked: Mapping[str, Task]) -> list[str]:
    """What models' folders say about drawing answers, which a comparison on equal terms does not use."""
    first = [asked[cases.name].ask(cases.cases[0])[0] for cases in plan.case_sets if cases.cases]
    decoding = next((one.decoding for one in first if one.decoding is not None), None)
    if decoding is None:
        return []
    own = f"temperature {decoding.temperature:g}" if decoding.temperature else "the likeliest token"
    return [
        f"{name}: generation_config.json asks for {_settings(folder.drawing)}: not used, every variant "
        f"draws alike ({own})"
        for name, folder in plan.folders.items()
        if folder.drawing
    ]


def _settings(drawing: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in drawing.items())


def refuse_lost_questions(plan: Plan, prompts: Prompts) -> None:
    """Stop before the first case where a model would answer what it was not asked.

    Raises
    ------
    DataError
        A question does not fit into a variant's context, and the spec does not allow that.
    """
    if plan.spec.prompting.allow_lost_questions:
        return
    faults = [
        f"{case} for {variant}: {prompts.texts[place].n_cut} tokens do not fit"
        for variant, of in prompts.of.items()
        for (_, case), place in of.items()
        if prompts.texts[place].is_question_lost
    ]
    if faults:
        raise DataError(
            gather(
                "Prompts that are longer than the context lose their question.",
                faults,
                "Leave these rows out, show fewer examples (--few-shot), draw less (--max-tokens), "
                "or take them as they are with --allow-lost-questions.",
            )
        )


# ------------------------------------------------------------------------------------ for a person


def template_of(case: Case, request: Request) -> str | None:
    """The wording of a prompt: its last turn with places in braces for the case's own texts.

    None where the case brings its own turns, so that nothing was worded.
    """
    if isinstance(case.inputs.get("messages"), tuple):
        return None
    prompt = request.prompt if isinstance(request.prompt, str) else request.prompt[-1].content
    texts = {
        name: str(value)
        for name, value in case.inputs.items()
        if isinstance(value, str | int | float) and str(value)
    }
    # Marks first, so that no value is looked for inside the name of a column.
    marks: dict[str, str] = {}
    for number, name in enumerate(sorted(texts, key=lambda name: -len(texts[name]))):
        at = prompt.rfind(texts[name])
        if at >= 0 and len(texts[name]) > 1:
            marks[f"\0{number}\0"] = f"{{{name}}}"
            prompt = f"{prompt[:at]}\0{number}\0{prompt[at + len(texts[name]) :]}"
    for mark, place in marks.items():
        prompt = prompt.replace(mark, place)
    return prompt if marks else None


def lines_about(
    plan: Plan, prompts: Prompts, asked: Mapping[str, Task], *, is_tried: bool = False
) -> list[str]:
    """The prompt of the first case of every case set, once for all variants that read it so.

    ``is_tried``: after a trial of wordings, if there is one.
    """
    return [
        line
        for described, cases in zip(plan.spec.cases, plan.case_sets, strict=True)
        if cases.cases
        for line in (
            *_first_case(plan, cases, prompts, asked[cases.name]),
            *(
                _worded(plan, described, cases.cases[0], asked[cases.name], is_tried=is_tried)
                if any(one.head not in READS_TEXTS for one in plan.variants)
                else ()
            ),
        )
        if prompts.texts
    ]


def _first_case(plan: Plan, cases: CaseSet, prompts: Prompts, task: Task) -> list[str]:
    case = cases.cases[0]
    requests = task.ask(case)
    readers: dict[int, list[str]] = {}
    for variant in plan.variants:
        place = prompts.of.get(variant.name, {}).get((cases.name, case.id))
        if place is not None:
            readers.setdefault(place, []).append(variant.name)
    lines = []
    for place, names in readers.items():
        is_shared = len(names) == len(plan.variants)
        who = (
            "every variant reads"
            if is_shared
            else f"{_listed(names)} read{'s' * (len(names) == 1)}"
        )
        lines += [f"{case.id}, as {who} it:", *_shown(prompts.texts[place], len(requests))]
    return lines


def _shown(prompt: ShownPrompt, n_requests: int) -> list[str]:
    """A prompt for the console: its lines behind a bar, long middles left out and said so."""
    lines = [f"| {line}" for line in _fitted(prompt.text)]
    if prompt.continuation is not None:
        others = f", and {n_requests - 1} more" if n_requests > 1 else ""
        lines.append(f"scored after it: {_quoted(prompt.continuation)}{others}")
    if prompt.n_cut:
        lines.append(f"cut: {prompt.n_cut} tokens are left out, {_where(prompt)}")
    return lines


def _where(prompt: ShownPrompt) -> str:
    at = prompt.cut_at or 0
    if prompt.text[at:].startswith(GAP):
        return f'where "{GAP.strip()}" stands'
    return "at its beginning" if at == 0 else "at its end"


def _worded(
    plan: Plan, described: CasesSpec, case: Case, task: Task, *, is_tried: bool
) -> list[str]:
    """Who worded it, and as what, so that what was added to the case's own text can be seen."""
    template = template_of(case, task.ask(case)[0])
    if described.benchmark is not None or template is None:
        return []
    if described.template is not None:
        return [f"worded by --prompt: {_quoted(described.template)}"]
    if plan.spec.prompting.trial != "take":
        who = "by tuneval, since no --prompt was given"
    else:
        who = "by --prompt auto" if is_tried else "so until --prompt auto has tried others"
    return [f"worded {who}: {_quoted(template)}"]


def _fitted(text: str) -> list[str]:
    lines = [_narrowed(line) for line in text.split("\n")]
    if len(lines) <= MOST_LINES:
        return lines
    half = MOST_LINES // 2
    return [*lines[:half], f"[{len(lines) - 2 * half} lines more]", *lines[-half:]]


def _narrowed(line: str) -> str:
    """A line with the middle left out; the place of a cut stays in sight."""
    parts = line.split(GAP)
    return GAP.join(_without_middle(part, WIDEST_LINE // len(parts)) for part in parts)


def _without_middle(text: str, width: int) -> str:
    if len(text) <= 1.5 * width:  # a few characters are not worth a gap
        return text
    half = width // 2
    return f"{text[:half]} [{len(text) - 2 * half} characters more] {text[-half:]}"


def _quoted(text: str) -> str:
    return _narrowed(json.dumps(text, ensure_ascii=False))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


# ----------------------------------------------------------------------------- without any weights


def show_from_folders(plan: Plan) -> Show:
    """What ``HFBackend`` would show, from the folders of the plan alone."""
    from tuneval.engine.hf.text.render import Renderer
    from tuneval.engine.hf.text.shown import renderer_of, shown_to
    from tuneval.engine.hf.weights.folder import describe
    from tuneval.engine.hf.weights.labels import labels_of

    whole = {
        one.model: plan.folders[one.name]
        for one in plan.variants
        if one.adapter is None and one.name in plan.folders
    }
    renderers: dict[str, Renderer] = {}

    def show(variant: Variant, requests: Sequence[Request]) -> Sequence[ShownPrompt]:
        model = whole.get(variant.model) or describe(
            variant.model, offline=True, revision=variant.revision
        )
        adapter = plan.folders[variant.name] if variant.adapter else None
        if variant.name not in renderers:
            renderers[variant.name] = renderer_of(
                variant.name,
                model,
                adapter,
                tokenizer_from=plan.spec.backend.tokenizer_from,
                chat_template=plan.spec.prompting.chat_template,
                thinks=plan.spec.prompting.thinking != "off",
                trust_remote_code=variant.trust_remote_code,
                head=variant.head,
                asked=plan.spec.backend.context_length,
            )
        renderer = renderers[variant.name]
        labels = None
        if variant.head in READS_TEXTS:
            labels = labels_of(model, adapter, plan.spec.backend.head_labels)
        return shown_to(variant.head, renderer, labels, variant.name, requests)

    return show

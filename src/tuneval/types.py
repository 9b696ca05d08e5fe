"""The nouns that every room shares: frozen records, no behaviour beyond derived properties.

Not for: reading files, arithmetic, anything that needs torch or pydantic. This module imports
nothing from the package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

SCHEMA_VERSION = 1
"""Version of ``result.json``; raised whenever a reader of the old form would misread the new one."""

VariantKind = Literal["base", "adapter", "full", "judge", "majority"]
"""``majority``: no model, but the commonest label for every case; what a base without a trained head is
worth."""
Head = Literal["causal", "seq2seq", "classification", "tokens"]
"""What a variant's answers come from: a language model from left to right, one with an encoder before it,
a head over labels of a whole text (or over one number), a head over the tags of its words."""
READS_TEXTS: frozenset[Head] = frozenset(("classification", "tokens"))
"""Heads that are no language models: they read the bare texts of a case, not a prompt."""
Decision = Literal["better", "worse", "equivalent", "undecided"]
PROMPT_FORMAT = "~prompt format"
"""Key in the inputs of a twin that is asked in another prompt format; its value is one of
``PROMPT_FORMATS``. No column of a file is called so."""
PROMPT_FORMATS = ("line breaks", "capitals", "dashes", "wide")
"""Ways to word a prompt beside the run's own; see ``tasks/formats.py``."""
COLUMN_NAMES = "~columns"
"""Key in the inputs of a case: name of a column in its file -> the key under which its text stands."""
OWN = "~own "
"""Before the key of a column that no question reads, though it is called like a standard key."""
STANDARD_INPUTS = frozenset(
    ("text", "messages", "instruction", "input", "prompt", "completion", "context", "question",
     "choices", "article", "system", "history", "test", "tests")
)  # fmt: skip
"""Keys of the inputs of a case by which tasks word a question."""
Unit = Literal["share", "points", "nats", "bits", "perplexity", "number"]
"""``share`` lives on [0, 1] and is printed times 100; ``points`` is already on 0 to 100."""
StatisticKind = Literal["proportion", "mean", "corpus", "ranks"]
"""How a metric's rows become its number, which decides the interval and the test:
``proportion``: rows are (right, 1) with right in {0, 1}; ``mean``: rows are (value, 1);
``corpus``: a function of summed rows; ``ranks``: a function of all rows that sums cannot give."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat.

    Attributes
    ----------
    more : str
        What else a chat template may read of the turn (``tool_calls``, ``tool_call_id``, ``name``), as
        JSON; "" where there is nothing.
    fields : tuple of (int, int)
        Where the case's own texts stand in ``content``, in order: what may be shortened. Empty: all
        of it is one text.
    """

    role: str
    content: str
    more: str = ""
    fields: tuple[tuple[int, int], ...] = field(default=(), compare=False, repr=False)

    def as_turn(self) -> dict[str, Any]:
        """The turn as chat templates and servers take it."""
        return {"role": self.role, "content": self.content, **json.loads(self.more or "{}")}


@dataclass(frozen=True, slots=True)
class Case:
    """One row of a test set.

    Attributes
    ----------
    id : str
        "file:line" or "benchmark:n"; a perturbed twin adds "~kind".
    inputs : mapping
        Standard keys, each present only where the row has it: ``text`` (the main input, the one
        that perturbations change), ``messages`` (tuple of Message, the turns before the reference),
        ``instruction``, ``input``, ``prompt`` (exact characters before a completion), ``context``,
        ``question``, ``choices`` (tuple of str), ``article``, ``system`` (a turn before the
        question), ``history`` (tuple of Message, turns before it). Every other scalar column of the
        row, or list of texts, stands under its own name, so that a prompt template can use it;
        ``COLUMN_NAMES`` leads from a column's name to its standard key.
    references : tuple of str
        Expected texts; for classes, the label; for multiple choice, the index of the right choice
        as decimal text. Empty where there is nothing to expect (language modelling on text alone).
    groups : mapping
        Attribute name -> value, for subgroup slices.
    cluster : str or None
        Cases of one cluster are resampled together (questions on one passage, one user, ...).
    origin, perturbation : str or None
        For a perturbed twin: the id of the case it was made from, and the kind.
    """

    id: str
    inputs: Mapping[str, object]
    references: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    cluster: str | None = None
    origin: str | None = None
    perturbation: str | None = None


PROMPTS_ALONE = ("prompts alone", "chats without an answer")
"""Layouts of files that ask and expect nothing."""


@dataclass(frozen=True, slots=True)
class CaseSet:
    """The cases of one test file or benchmark, and what was found out about them on reading.

    ``name`` is unique in a run. ``task`` is a name of ``tuneval.tasks``; ``labels`` the declared or
    found label set (classification only), in the order in which ties are broken. ``columns`` maps
    standard keys to the columns they came from; ``offered_groups`` names low-cardinality columns
    that could be used with ``--group``. ``notes`` are sentences for the user about what was inferred;
    ``skipped`` the rows left out by ``--skip-bad-rows``, one sentence each. ``is_guard``: measures what the
    base could do before the fine-tune; judged for forgetting, not for better or worse. ``signature``: for a
    benchmark, all that makes its number comparable (prompt version, revision, checksum, shots).
    ``is_exploratory``: scored and compared like any other, but no verdict rests on it.
    """

    name: str
    source: str
    layout: str
    task: str
    cases: tuple[Case, ...]
    labels: tuple[str, ...] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    offered_groups: tuple[str, ...] = ()
    sha256: str = ""
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    is_guard: bool = False
    signature: str = ""
    is_exploratory: bool = False

    @property
    def are_prompts_alone(self) -> bool:
        """Is nothing expected, so that a judge must compare what is answered?"""
        return self.layout in PROMPTS_ALONE

    @property
    def is_decisive(self) -> bool:
        """Is it asked what became better or worse? Guards and exploratory sets are not."""
        return not (self.is_guard or self.is_exploratory)


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the things compared.

    ``model`` is a local folder or a hub id (for an adapter: that of its base). Adapters of one
    ``recipe`` differ in their ``training_seed`` alone and are reported as one row. Those of one
    ``training_run`` are its checkpoints, in order of ``step`` (steps or epochs, as their folders count).
    ``head`` is what its folder holds, of an adapter: what it was trained for.
    """

    name: str
    kind: VariantKind
    model: str
    adapter: str | None = None
    revision: str | None = None
    dtype: str = "auto"
    recipe: str | None = None
    training_seed: int | None = None
    training_log: str | None = None
    trust_remote_code: bool = False
    training_run: str | None = None
    step: int | None = None
    head: Head = "causal"


@dataclass(frozen=True, slots=True)
class VariantFacts:
    """What the backend found out about a variant when it was proved able to answer.

    ``prompt_format`` says how messages become text ("own chat template", "base's chat template",
    "plain template"). ``n_adapter_parameters`` is counted, never assumed. ``settings`` holds adapter
    settings for the report (rank, alpha, target modules). ``warnings`` are sentences for the user.
    """

    variant: str
    fingerprint: str
    backend: str
    device: str
    dtype: str
    n_parameters: int
    n_adapter_parameters: int = 0
    prompt_format: str = ""
    tokenizer: str = ""
    context_length: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a completion is drawn. ``temperature`` 0 is greedy."""

    max_tokens: int = 128
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    n_completions: int = 1
    sampling_seed: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a model: either a log-likelihood or completions.

    ``prompt`` as text means exactly these characters; as messages it means the variant's chat
    template, and where the tokenizer has none the plain template (contents joined; see
    ``engine/hf/text/render.py``). Exactly one of ``continuation`` and ``decoding`` is set. An empty text
    prompt means: score from the beginning-of-sequence token on. ``with_token_logprobs`` asks for
    the log-probability of every scored token. ``texts``: the bare texts of the case (one, or a pair), which
    a head that is no language model reads instead of ``prompt``. ``label``: what ``continuation`` stands
    for, whatever its words; such a head knows it by that name. ``stride``: a continuation longer than
    the context is scored in windows that begin so many tokens apart; 0: as far apart as they are long.
    ``tools``: what the chat template is to show of tools, as a JSON list of their descriptions. ``labels``: any
    number of these may fit; a head over labels answers with the probability of each, as a JSON object.
    """

    id: str
    case_id: str
    prompt: str | tuple[Message, ...]
    continuation: str | None = None
    decoding: Decoding | None = None
    with_token_logprobs: bool = False
    texts: tuple[str, ...] = ()
    label: str = ""
    stride: int = 0
    tools: str = ""
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert (self.continuation is None) != (self.decoding is None), self.id


@dataclass(frozen=True, slots=True)
class ShownPrompt:
    """The exact text that a variant is asked with.

    Attributes
    ----------
    text : str
        What the model reads, special tokens spelled out. Behind a server: the messages as JSON,
        since its template cannot be seen from here.
    continuation : str or None
        What is scored after it, joint included; None where an answer is drawn.
    n_cut, cut_at : int
        Tokens that were left out to fit the context, and the place in ``text`` where.
    is_question_lost : bool
        More than half of what is asked is gone: of the last turn, or of a prompt of exact characters.
    """

    text: str
    continuation: str | None = None
    n_cut: int = 0
    cut_at: int | None = None
    is_question_lost: bool = False


@dataclass(frozen=True, slots=True)
class Completion:
    """One text drawn from a model, without stop string and special tokens.

    ``finish_reason`` is "stop" (end token or stop string) or "length" (cut at ``max_tokens``).
    """

    text: str
    n_tokens: int
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Response:
    """What a variant answered to one request.

    ``loglikelihood`` is the sum over the ``n_tokens`` tokens of the continuation, in nats.
    ``problem`` says why there is no usable answer (non-finite logits, out of memory at size one,
    a server that gave up); then the other fields are empty. ``is_truncated``: the prompt was cut
    on the left to fit the context.
    """

    request_id: str
    variant: str
    completions: tuple[Completion, ...] = ()
    loglikelihood: float | None = None
    n_tokens: int = 0
    is_greedy: bool | None = None
    token_logprobs: tuple[float, ...] | None = None
    prompt_tokens: int = 0
    is_truncated: bool = False
    seconds: float = 0.0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """A response, read by its task. ``problem`` says why it could not be read ("unparsed: ...").

    ``label_probabilities`` maps each label to its probability, in the task's order. ``nll`` is in nats over
    ``n_tokens`` tokens that spell ``n_bytes`` utf-8 bytes. ``finish_reasons`` stands beside ``completions``
    ("length": cut at the token limit). ``is_truncated``: the prompt was cut to fit the context.
    ``values``: metric name -> the sums of this case, where the task of another tool measures by itself.
    ``thinking``: "" (the model thought nothing aloud), "closed" (its thoughts were cut off the answer),
    or "open" (they never ended, and there is no answer). ``texts``: every completion as it was read, where
    several were drawn (None: not readable); ``text`` is the first that could be.
    """

    case_id: str
    text: str | None = None
    label: str | None = None
    label_probabilities: Mapping[str, float] | None = None
    completions: tuple[str, ...] = ()
    nll: float | None = None
    n_tokens: int = 0
    n_bytes: int = 0
    token_logprobs: tuple[float, ...] | None = None
    problem: str | None = None
    finish_reasons: tuple[str, ...] = ()
    is_truncated: bool = False
    values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    thinking: Literal["", "closed", "open"] = ""
    texts: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """Loss curves of one training run. ``steps`` belong to ``train_loss`` and ``validation_steps``
    to ``validation_loss``; losses are in nats per token as logged by the trainer. ``nan_from``: the step
    from which on the training or validation losses are not numbers."""

    steps: tuple[int, ...]
    train_loss: tuple[float, ...]
    validation_steps: tuple[int, ...]
    validation_loss: tuple[float, ...]
    best_step: int | None
    source: str
    epochs: tuple[float, ...] = ()
    nan_from: int | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """Rows of one metric for one variant: ``rows`` is float64 of shape (n_cases, n_sums).

    Where several completions were drawn for each case, ``draws``, shape (n_draws, n_cases, n_sums), holds
    the rows of each, and ``rows`` is their mean.
    """

    variant: str
    metric: str
    case_ids: tuple[str, ...]
    rows: NDArray[np.float64]
    draws: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval. ``method`` names it ("wilson", "t", "bca", ...)."""

    low: float
    high: float
    confidence: float
    method: str


@dataclass(frozen=True, slots=True)
class Score:
    """The value of a metric for a variant (or for a recipe: ``training_seeds`` then holds the value
    of each seed) on a slice ("all", "writer=learner", "typos:medium")."""

    variant: str
    case_set: str
    metric: str
    slice: str
    value: float
    interval: Interval | None
    n_cases: int
    unit: Unit
    higher_is_better: bool
    signature: str
    training_seeds: tuple[float, ...] = ()
    standard_deviation: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Candidate minus baseline on the same cases, in the metric's own unit.

    ``details`` holds further inputs of the verdict as numbers (discordant counts, the 90% interval,
    cases needed), so that it can be recomputed from the JSON alone.
    """

    baseline: str
    candidate: str
    case_set: str
    metric: str
    slice: str
    difference: float
    interval: Interval | None
    p_value: float | None
    p_adjusted: float | None
    test: str
    n_cases: int
    detectable_difference: float | None
    unit: Unit = "share"
    higher_is_better: bool = True
    details: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the data support about one pair. ``headline`` is the label of measurement table 9.8."""

    candidate: str
    baseline: str
    decision: Decision
    headline: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of reference label (rows) by predicted label (columns).

    ``counts`` has shape (n_labels, n_labels + 1); the last column is "unparsed".
    """

    variant: str
    case_set: str
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Flips:
    """The paired 2 x 2 table of two variants on the primary metric of a case set."""

    baseline: str
    candidate: str
    case_set: str
    both_right: int
    both_wrong: int
    fixed: tuple[str, ...]
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PerClass:
    """Precision, recall and F1 of one label for one variant. Undefined values are nan."""

    variant: str
    case_set: str
    label: str
    precision: float
    recall: float
    f1: float
    n_cases: int


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """A training log as the report draws it, and the sentence about overfitting."""

    variant: str
    log: TrainingLog
    finding: str
    is_overfitted: bool


FindingLevel = Literal["warning", "clear", "unclear", "note"]
"""``warning``: shown, and bad; ``clear``: shown, and well; ``unclear``: the data cannot tell;
``note``: context, nothing to judge."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check beyond the test score found, as a sentence and the numbers behind it.

    Attributes
    ----------
    kind : str
        The check: a key of ``tuneval.checks.CHECKS``.
    variant : str
        The arm it is about (variant or recipe name); "" where it is about the data.
    case_set, subject : str
        Where, and what was looked at ("typos:medium", "writer", a file's name).
    level : FindingLevel
        A warning becomes a warning of the arm's verdict.
    sentence : str
        For the user; the one place of its wording.
    values : mapping
        Every number that the sentence and its level rest on.
    columns, rows
        A table to show: column -> unit ("text" for words, "count" for whole numbers), and its rows.
        An undefined number is None, never nan.
    flag : str
        Label that it raises for the whole run: "OVERFIT", "BRITTLE", "FORGOT", "INVALID" or "".
    """

    kind: str
    variant: str
    case_set: str
    subject: str
    level: FindingLevel
    sentence: str
    values: Mapping[str, float] = field(default_factory=dict)
    columns: Mapping[str, Unit | Literal["text", "count"]] = field(default_factory=dict)
    rows: tuple[tuple[str | int | float | None, ...], ...] = ()
    flag: str = ""


GateOutcome = Literal["passed", "failed", "cannot tell"]
"""Of a condition on a number, by its interval: inside, outside, or across the limit."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition that a run was held to, for one arm and case set where it speaks of them.

    ``name`` is the condition as it was written, ``sentence`` what was found and why it decides;
    ``about`` tells gates of one condition apart ("lora: accuracy").
    """

    name: str
    outcome: GateOutcome
    sentence: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Effort:
    """What the answers of a variant took.

    ``n_questions`` distinct ones; ``prompt_tokens`` as each question has them, whatever was shared between
    questions; ``answer_tokens`` drawn or scored. ``seconds``: by the clock, each answer's part of its
    batch, without loading; 0 where the backend does not say.
    """

    variant: str
    n_questions: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RunResult:
    """Everything a finished run found; every report renders from this alone.

    ``predictions`` and ``case_scores`` are keyed by variant name; the tuples follow ``cases``
    flattened over case sets in order. ``case_scores`` holds the value of the case set's primary
    metric for that single case, None where there is none. ``prompts`` holds every distinct text
    that a case was asked with, ``prompt_places`` the place of each case's own for every variant.
    """

    run_id: str
    name: str
    created: str
    seconds: float
    tuneval_version: str
    spec: Mapping[str, object]
    environment: Mapping[str, str]
    variants: tuple[Variant, ...]
    facts: tuple[VariantFacts, ...]
    case_sets: tuple[CaseSet, ...]
    predictions: Mapping[str, tuple[Prediction, ...]]
    case_scores: Mapping[str, tuple[float | None, ...]]
    primary_metrics: Mapping[str, str]
    scores: tuple[Score, ...]
    comparisons: tuple[Comparison, ...]
    verdicts: tuple[Verdict, ...]
    headline: str
    confusions: tuple[Confusion, ...] = ()
    per_class: tuple[PerClass, ...] = ()
    flips: tuple[Flips, ...] = ()
    learning_curves: tuple[LearningCurve, ...] = ()
    findings: tuple[Finding, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_complete: bool = True
    output_dir: str = ""
    gates: tuple[Gate, ...] = ()
    schema_version: int = SCHEMA_VERSION
    prompts: tuple[ShownPrompt, ...] = ()
    prompt_places: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)
    effort: tuple[Effort, ...] = ()

    @property
    def main(self) -> CaseSet:
        """The case set that a report leads with: the first that decides something, else the first."""
        measured = [one for one in self.case_sets if one.name in self.primary_metrics]
        decisive = [one for one in measured if one.is_decisive]
        return (decisive or measured or self.case_sets)[0]


class Progress(Protocol):
    """Told what runs, how far it is, how much was reused, by ``expect`` how many answers the stages to
    come hold together, and by ``note`` what comes of it; draws nothing by itself."""

    def expect(self, n: int) -> None: ...
    def begin(self, stage: str, total: int) -> None: ...
    def advance(self, n: int, *, n_reused: int = 0) -> None: ...
    def note(self, text: str) -> None: ...
    def end(self) -> None: ...


class NoProgress:
    """Draws nothing: the default for library calls and tests."""

    def expect(self, n: int) -> None:
        """Ignore it."""

    def begin(self, stage: str, total: int) -> None:
        """Ignore it."""

    def advance(self, n: int, *, n_reused: int = 0) -> None:
        """Ignore it."""

    def note(self, text: str) -> None:
        """Ignore it."""

    def end(self) -> None:
        """Ignore it."""


def arms(variants: Sequence[Variant]) -> dict[str, tuple[Variant, ...]]:
    """Group variants into the rows of the report: a recipe's training seeds share one row.

    Returns recipe (or variant name where there is no recipe) -> its variants, in given order.
    """
    rows: dict[str, tuple[Variant, ...]] = {}
    for variant in variants:
        key = variant.recipe or variant.name
        rows[key] = (*rows.get(key, ()), variant)
    return rows

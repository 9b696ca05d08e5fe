"""run.yaml -> RunSpec: the guarded border. Errors name file, line and key, and offer the nearest key.

Holds no default that belongs to a room: "auto" means that the room decides.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_serializer,
    model_validator,
)

from tuneval.engine.address import ServerUrl
from tuneval.errors import ConfigError, gather
from tuneval.plan.gates import parse_condition
from tuneval.plan.yaml_text import Place, override, read_yaml
from tuneval.registry import unknown


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(_one_or_many, json_schema_input_type=str | tuple[str, ...]),
]


class VariantSpec(_Strict):
    """One arm: a model, or one or several adapters (training seeds of one recipe) of a base.

    ``training_run`` and ``step``: this is one of several checkpoints of a training of that name.
    """

    name: str = Field(min_length=1)
    """What the arm is called in every table."""
    model: str | None = None
    """Folder or hub id of a whole model; for an adapter, its base where it is not the baseline."""
    adapter: Texts = ()
    """Folder of an adapter, or several: training seeds of one recipe."""
    revision: str | None = None
    """Revision of the model on the hub."""
    training_log: str | None = "auto"
    """trainer_state.json or its folder; auto looks beside the weights, null reads none."""
    training_seeds: tuple[int, ...] | None = None
    """The seed of each adapter, in their order."""
    training_run: str | None = None
    """Name of the training of which this is one checkpoint."""
    step: int | None = None
    """Its step in that training."""
    trust_remote_code: bool = False
    """Run code that comes with the model."""

    @model_validator(mode="after")
    def _has_weights(self) -> VariantSpec:
        if self.model is None and not self.adapter:
            raise ValueError(f'variant "{self.name}" has neither "model" nor "adapter"')
        if self.training_seeds is not None and len(self.training_seeds) != len(self.adapter):
            raise ValueError(
                f'variant "{self.name}" names {len(self.training_seeds)} training seeds '
                f"for {len(self.adapter)} adapters"
            )
        if (self.training_run is None) != (self.step is None):
            raise ValueError(f'variant "{self.name}": "training_run" and "step" go together')
        if self.training_run is not None and len(self.adapter) > 1:
            raise ValueError(
                f'variant "{self.name}": a step of a training has one adapter, '
                f"found {len(self.adapter)}"
            )
        return self


class CasesSpec(_Strict):
    """One test file (or data set folder or hub id), or one benchmark ("mmlu:anatomy").

    ``guard``: measures what the base could do before; judged by the rule of forgetting.
    ``exploratory``: scored and compared, but no verdict rests on it. ``turns``: of conversations, whether
    every answer of the assistant is a case, or the last alone.
    """

    file: str | None = None
    """Test file, data set folder or hub id."""
    benchmark: str | None = None
    """NAME or NAME:SUBSET of tuneval list benchmarks."""
    guard: bool = False
    """Must not get worse; judged for forgetting."""
    exploratory: bool = False
    """Scored and compared, but no verdict rests on it."""
    name: str | None = None
    """What the case set is called; the file's own name where it is left out."""
    task: str = "auto"
    """auto, or a name of tuneval list tasks."""
    columns: Mapping[str, str] = Field(default_factory=dict)
    """Which column is the input, the reference, the cluster."""
    labels: tuple[str, ...] | Mapping[str, str] | None = None
    """The label set, or raw value -> label."""
    groups: Texts = ()
    """Columns (A, or A+B) for subgroups."""
    limit: int | float | None = None
    """That many cases; a number below 1 is a share."""
    split: str = "test"
    """Split of a data set folder or hub id."""
    few_shot: int | None = Field(default=None, ge=0)
    """Examples before every question."""
    few_shot_file: str | None = None
    """Where the examples come from; never the test file."""
    skip_bad_rows: bool = False
    """Count and list unreadable rows and go on."""
    turns: Literal["last", "all"] = "last"
    """Of conversations: the last answer is a case, or every one."""
    template: str | None = None
    """Prompt with columns in braces: "{text}\\nLabel:"."""
    options: Mapping[str, Any] = Field(default_factory=dict)
    """Settings of the task."""

    @model_validator(mode="after")
    def _has_one_source(self) -> CasesSpec:
        if (self.file is None) == (self.benchmark is None):
            raise ValueError('give either "file" or "benchmark"')
        return self


class PromptingSpec(_Strict):
    """How a case becomes a prompt.

    ``trial``: try on a few references whether each fine-tune was trained on this wording; ``warn``
    says so, ``take`` asks in the better one, on cases that did not choose it.
    """

    chat_template: Literal["auto", "on", "off"] = "auto"
    """Use each model's own chat template."""
    trial: Literal["warn", "take", "none"] = "warn"
    """Look whether the fine-tune was trained on this wording: say so, take the better one, or do not look."""
    thinking: Literal["cut", "keep", "off"] = "cut"
    """What becomes of blocks such as <think>...</think>."""
    system: str | None = None
    """System message of chat prompts."""
    few_shot: int = Field(default=0, ge=0)
    """Examples before every question, for all case sets."""
    selection_seed: int = 0
    """Seed by which the examples are chosen."""
    allow_lost_questions: bool = False
    """Ask also where a prompt does not fit and loses its question."""


class MetricsSpec(_Strict):
    """Which numbers; ``auto`` takes the task's own list."""

    primary: str = "auto"
    """The metric that decides; auto takes the task's first."""
    also: Literal["auto"] | Texts = "auto"
    """All metrics to compute; auto takes the task's list."""
    options: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    """Metric -> its settings."""

    @classmethod
    def of(
        cls, names: Sequence[str], options: Mapping[str, Mapping[str, Any]] | None = None
    ) -> MetricsSpec:
        """Those metrics alone; the first decides."""
        return cls(primary=names[0], also=tuple(names), options=options or {})


def _metrics(value: Any) -> Any:
    """A name or a list of names: those are computed, and the first decides."""
    if isinstance(value, str) and value != "auto":
        value = [value]
    if isinstance(value, list | tuple) and value:
        return {"primary": value[0], "also": value}
    return {} if value == "auto" else value


class PerturbationSpec(_Strict):
    """One way to change the inputs. ``options`` are settings of its own; they may also stand beside
    ``name``: {name: long, factor: 3}."""

    name: str
    """A name of tuneval list perturbations."""
    level: str | None = None
    """How strong; each has a usual one."""
    options: Mapping[str, Any] = Field(default_factory=dict)
    """Settings of its own, such as factor or file."""


class _PerturbationKeys(PerturbationSpec):
    """One way to change the inputs; every further key is a setting of its own."""

    model_config = ConfigDict(extra="allow")


def _perturbation(value: Any) -> Any:
    """ "NAME", "NAME:LEVEL" or "NAME:FILE"; of a mapping every further key is an option."""
    if isinstance(value, str):
        name, _, word = value.partition(":")
        if "/" in word or Path(word).suffix in {*DATA_SUFFIXES, ".yaml", ".yml"}:
            return {"name": name, "options": {"file": word}}
        return {"name": name, "level": word or None}
    if isinstance(value, Mapping):
        own = {key: one for key, one in value.items() if key not in PerturbationSpec.model_fields}
        rest = {key: one for key, one in value.items() if key not in own}
        return {**rest, "options": {**(rest.get("options") or {}), **own}} if own else value
    return value


class StatisticsSpec(_Strict):
    """How uncertainty is computed."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Of every interval."""
    resamples: int = Field(default=10_000, ge=100)
    """Draws of the bootstrap and of permutations."""
    resampling_seed: int = 0
    """Their seed."""
    perturbation_seed: int = 0
    """Seed of the changed inputs."""
    margin_points: float = Field(default=2.0, gt=0)
    """Two variants within this many points count as equally good."""
    until_decided: bool = False
    """Draw cases at random and stop when every pair is decided."""
    decided_margin_points: float | None = Field(default=None, gt=0)
    """With it: stop also when the difference is surely within this many points."""


def _tokenizers(value: Any) -> Any:
    """One folder is that of every variant's tokenizer; a mapping names variants."""
    return {"*": value} if isinstance(value, str) else value


_UNITS = {"B": 1, "MB": 10**6, "GB": 10**9, "MIB": 2**20, "GIB": 2**30}


def _bytes(value: Any) -> Any:
    """ "2GB", "500 MiB": a number and a unit -> bytes."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", value)
    unit = _UNITS.get(found[2].upper()) if found else None
    if found is None or unit is None:
        raise ValueError(f'"{value}" is no amount of memory: write 2GB, 500MB, 1.5GiB')
    return int(float(found[1]) * unit)


class BackendSpec(_Strict):
    """What runs the models, and on what."""

    kind: str = "hf"
    """Who runs the models: hf (here), vllm (here, by vLLM's engine), openai (a server), or ray (the nodes of a
    Ray cluster)."""
    base_url: ServerUrl | None = None
    """Address of the server: http://HOST:PORT/v1."""
    timeout_seconds: PositiveFloat = 120.0
    """Patience with one answer of a server."""
    give_up_seconds: PositiveFloat = 600.0
    """Patience with a server that does not answer at all."""
    tokenizers: Annotated[Mapping[str, str], BeforeValidator(_tokenizers)] = Field(
        default_factory=dict
    )
    """Behind a server: variant -> folder of its tokenizer ("*": every other); prompts are written here."""
    device: str = "auto"
    """auto, cpu, mps, cuda, cuda:1, ..."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the weights in memory."""
    memory: Annotated[
        PositiveInt | None, BeforeValidator(_bytes, json_schema_input_type=str | int | None)
    ] = None
    """Most that a process may take of the device's memory (2GB, 500MB): batches are cut to it."""
    batch_size: Literal["auto"] | PositiveInt = "auto"
    """Requests per batch."""
    threads: Literal["auto"] | PositiveInt = "auto"
    """CPU threads; auto takes 1 for small models."""
    workers: Literal["auto"] | PositiveInt | None = None
    """Processes that answer together: auto takes one a GPU, or a core; left out, this one alone."""
    allow_unlike_cards: bool = False
    """Workers may sit on GPUs of other kinds, whose numbers differ."""
    address: str | None = None
    """Of the Ray cluster, HOST:PORT; left out, RAY_ADDRESS, else one of this machine alone."""
    cpus_per_worker: PositiveFloat | None = None
    """Processor cores that each worker reserves of Ray; by default one for each thread."""
    gpus_per_worker: Annotated[float, Field(ge=0, le=1)] | None = None
    """The same of GPUs: 0.5 puts two workers on one; by default 1 where the cluster has any."""
    start_seconds: PositiveFloat = 120.0
    """How long Ray may take to connect and to start workers; those that came then go on without the others."""
    offline: bool = False
    """Never ask the hub."""
    allow_base_mismatch: bool = False
    """An adapter may name another base."""
    allow_pickle_weights: bool = False
    """Load .bin weights too, as data only."""
    tokenizer_from: Literal["auto", "base", "adapter"] = "auto"
    """Whose tokenizer an adapter uses."""
    quantization: Literal["none", "8bit", "4bit"] = "none"
    """Load weights in 8 or 4 bits."""
    head_labels: Texts = ()
    """What the outputs of classifiers are called, in their order."""
    context_length: PositiveInt | None = None
    """Longest input in tokens; more than the folder says only for T5 and its like."""
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    """vllm: share of a GPU's memory that its engine takes; left out, what the scoring weights leave."""
    tensor_parallel_size: PositiveInt = 1
    """vllm: GPUs that a model is spread over."""


class JudgeSpec(_Strict):
    """Who compares two answers: a local model, or one behind an OpenAI-compatible server.

    ``model`` is a folder or hub id for ``backend: hf``, and the server's name of it for ``openai``.
    ``against``: the answers that every variant's are compared with, those of the baseline variant
    or the cases' own references (AlpacaEval's way). ``difficulty``: AlpacaEval's file of
    instruction difficulties. ``price``: of a million prompt and a million completion tokens.
    """

    model: str
    """Folder or hub id of the judge, or the server's name of it."""
    backend: str = "hf"
    """Who runs the judge: hf (where the models run) or openai."""
    base_url: ServerUrl | None = None
    """Address of its server."""
    scoring: Literal["auto", "generate", "likelihood"] = "auto"
    """Read its verdict from what it writes, or from the likelihood of each verdict."""
    template: str | None = None
    """Another wording of the question to the judge."""
    system: str | None = None
    """Another system message."""
    max_tokens: PositiveInt = 16
    """Longest verdict."""
    against: Literal["auto", "baseline", "reference"] = "auto"
    """What every answer is compared with."""
    difficulty: str | None = None
    """AlpacaEval's file of instruction difficulties."""
    price: tuple[float, float] | None = None
    """Of a million prompt and a million completion tokens."""


def _judges(value: Any) -> Any:
    """None, one judge or several. "openai:MODEL" is MODEL behind a server, another text a local model."""
    if value is None:
        return ()
    return tuple(map(_judge, value)) if isinstance(value, list | tuple) else (_judge(value),)


def _judge(value: Any) -> Any:
    if isinstance(value, str):
        kind, colon, model = value.partition(":")
        return {"model": model, "backend": kind} if colon and kind == "openai" else {"model": value}
    return value


FailOn = Literal["worse", "warning", "inconclusive"]
"""What beside a failed gate makes a command fail; "worse" is part of the others."""


class OutputSpec(_Strict):
    """Where the run goes, what is written beside ``result.json``, which experiment trackers it is sent
    to, and what makes it fail."""

    dir: str = "tuneval-runs"
    """Where run folders go."""
    reports: Texts = ("html",)
    """Kinds of reports beside result.json: html, md, csv, junit."""
    track: Texts = ()
    """Experiment trackers that the run is sent to: mlflow, wandb, trackio, tensorboard."""
    fail_on: Annotated[
        tuple[FailOn, ...],
        BeforeValidator(_one_or_many, json_schema_input_type=FailOn | tuple[FailOn, ...]),
    ] = ()
    """What beside a failed gate makes a command fail."""


class RunSpec(_Strict):
    """A whole run. Every key has a default except ``variants`` and ``cases``."""

    name: str | None = None
    """What the run is called."""
    variants: tuple[VariantSpec, ...] = Field(min_length=1)
    """The arms of the comparison."""
    baseline: str | None = None
    """Name of the arm that the others are compared with; left out: the first whole model."""
    base_as: Literal["auto", "lm", "none"] = "auto"
    """What the base of a classifier without a head of its own is asked as; none: the commonest label alone."""
    cases: tuple[CasesSpec, ...] = Field(min_length=1)
    """Test files and benchmarks."""
    train_data: str | None = None
    """Training file: which test cases leaked, what was learnt by heart."""
    validation: str | None = None
    """File that chooses among the checkpoints of one training."""
    adversarial: Texts = ()
    """Files of hard cases of your own."""
    ood: Texts = ()
    """Files of inputs that no label fits."""
    benchmark_data: str | None = None
    """Folder where benchmarks lie, instead of the hub."""
    judge: Annotated[
        tuple[JudgeSpec, ...],
        BeforeValidator(
            _judges,
            json_schema_input_type=str | JudgeSpec | tuple[str | JudgeSpec, ...] | None,
        ),
    ] = ()
    """Who compares two texts: MODEL, openai:NAME, the keys below, or a list of these for several judges."""
    task_options: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    """Task -> settings for all case sets."""
    prompting: PromptingSpec = PromptingSpec()
    """How a case becomes a prompt."""
    metrics: Annotated[
        MetricsSpec,
        BeforeValidator(_metrics, json_schema_input_type=str | tuple[str, ...] | MetricsSpec),
    ] = MetricsSpec()
    """auto, NAME, a list of names (the first decides), or the keys below."""
    perturbations: tuple[
        Annotated[
            PerturbationSpec,
            BeforeValidator(_perturbation, json_schema_input_type=str | _PerturbationKeys),
        ],
        ...,
    ] = ()
    """Changed inputs: NAME, NAME:LEVEL, NAME:FILE, or the keys below."""
    statistics: StatisticsSpec = StatisticsSpec()
    """How uncertainty is computed."""
    backend: BackendSpec = BackendSpec()
    """What runs the models, and on what."""
    gates: Mapping[str, str] = Field(default_factory=dict)
    """Conditions that the run is held to: accuracy: ">= 0.90"."""
    output: OutputSpec = OutputSpec()
    """Where the run goes and what is written."""

    @field_serializer("judge")
    def _judges_as_written(self, judges: tuple[JudgeSpec, ...]) -> Any:
        """None or one as they have always stood: the name of a run hangs on it."""
        return list(judges) if len(judges) > 1 else judges[0] if judges else None

    @model_validator(mode="after")
    def _gates_can_be_read(self) -> RunSpec:
        for subject, condition in self.gates.items():
            parse_condition(f"{subject} {condition}")
        return self

    @model_validator(mode="after")
    def _names_are_unique(self) -> RunSpec:
        names = [variant.name for variant in self.variants]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f'two variants are called "{twice[0]}"; give each a name of its own')
        if self.baseline is not None and self.baseline not in names:
            raise ValueError(f"baseline: {unknown(self.baseline, names)}")
        return self

    @classmethod
    def from_yaml(cls, path: str | Path, overrides: Sequence[str] = ()) -> RunSpec:
        """Read a run.yaml; ``overrides`` are "dotted.key=value" words from the command line.

        Relative paths in the file start at the file. Raises ConfigError with file and line.
        """
        path = Path(path)
        content, lines = read_yaml(path)
        for word in overrides:
            override(content, word)
        spec = _validate(content, str(path), lines)
        return _anchor(spec, path.parent)

    @classmethod
    def from_dict(
        cls, content: Mapping[str, Any], *, source: str = "the run's description"
    ) -> RunSpec:
        """Validate a plain mapping. Raises ConfigError naming every wrong key."""
        return _validate(dict(content), source, {})

    def to_yaml(self) -> str:
        """Return the spec as text that ``from_yaml`` reads back to an equal spec."""
        content = self.model_dump(mode="json", exclude_none=True)
        return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100))


def _validate(content: Any, source: str, lines: Mapping[Place, int]) -> RunSpec:
    if not isinstance(content, dict):
        raise ConfigError(
            f'{source}: expected keys such as "variants" and "cases", found {content!r}.'
        )
    try:
        return RunSpec.model_validate(content)
    except ValidationError as error:
        faults = [_explain(same, lines) for same in _by_place(error.errors())]
        counted = "one key" if len(faults) == 1 else f"{len(faults)} keys"
        raise ConfigError(gather(f"{source}: {counted} cannot be used.", faults)) from None


def _by_place(faults: Sequence[Any]) -> list[list[Any]]:
    """Gather what every branch of a union says of one value; leave out sequences that are only
    empty because their items are wrong."""
    places: dict[Place, list[Any]] = {}
    for fault in faults:
        place = tuple(part for part in fault["loc"] if not _is_union_branch(part))
        places.setdefault(place, []).append(fault)
    return [
        same
        for place, same in places.items()
        if same[0]["type"] != "too_short"
        or not any(other[: len(place)] == place and other != place for other in places)
    ]


def _explain(same: Sequence[Any], lines: Mapping[Place, int]) -> str:
    fault = same[0]
    place = tuple(part for part in fault["loc"] if not _is_union_branch(part))
    line = next((lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines), None)
    where = f"line {line}: " if line else ""
    key = ".".join(str(part) for part in place)
    if fault["type"] == "extra_forbidden":
        return f"{where}{key}: {unknown(str(place[-1]), _known_keys(place[:-1]))}"
    texts = (_PLAIN.get(one["type"], one["msg"].removeprefix("Value error, ")) for one in same)
    text = " or ".join(dict.fromkeys(texts))
    if fault["type"] == "missing":
        text = "this key is missing"
    elif "input" in fault and isinstance(fault["input"], str | int | float | bool):
        text = f'{text} (found "{fault["input"]}")'
    return f"{where}{key}: {text}" if key else f"{where}{text}"


_PLAIN = {"int_parsing": "not a whole number", "float_parsing": "not a number"}
"""Words for what pydantic says at length."""


def _is_union_branch(part: str | int) -> bool:
    """Pydantic adds the tried branch of a union to the place of an error; no user typed it."""
    return isinstance(part, str) and (
        "[" in part
        or part in {"str", "int", "float", "tuple", "literal", "dict", "mapping", "constrained-int"}
    )


def _known_keys(place: Place) -> list[str]:
    """Keys that the section at ``place`` has, following the models down from RunSpec."""
    sections: dict[str, type[BaseModel]] = {
        "variants": VariantSpec,
        "cases": CasesSpec,
        "prompting": PromptingSpec,
        "metrics": MetricsSpec,
        "perturbations": PerturbationSpec,
        "statistics": StatisticsSpec,
        "backend": BackendSpec,
        "output": OutputSpec,
        "judge": JudgeSpec,
    }
    model = sections.get(str(place[0]), RunSpec) if place else RunSpec
    return list(model.model_fields)


DATA_SUFFIXES = {".jsonl", ".json", ".csv", ".tsv", ".parquet", ".gz", ".txt"}
"""Endings by which a name is known to be meant as a file."""


def _anchor(spec: RunSpec, folder: Path) -> RunSpec:
    """Make relative paths of a run.yaml start at its folder. A name that is no path stays a hub id.

    What exists relative to the working directory only is anchored as well, and so found missing: a
    run.yaml must not mean other files wherever it is started from.
    """

    def place(text: str | None) -> str | None:
        if text is None or Path(text).is_absolute():
            return text
        beside = folder / text
        is_path = text.startswith(".") or Path(text).suffix in DATA_SUFFIXES
        is_path = is_path or os.path.exists(text)  # noqa: PTH110 - pathlib raises on long names
        return str(beside) if is_path or os.path.exists(beside) else text  # noqa: PTH110

    def path_of(text: str) -> str:
        return str(folder / text)

    is_served = spec.backend.kind == "openai"  # a server knows its models by name

    def weights(text: str | None) -> str | None:
        return text if is_served else place(text)

    variants = tuple(
        variant.model_copy(
            update={
                "model": weights(variant.model),
                "adapter": tuple(str(weights(adapter)) for adapter in variant.adapter),
                "training_log": variant.training_log
                if variant.training_log in (None, "auto")
                else path_of(str(variant.training_log)),
            }
        )
        for variant in spec.variants
    )
    cases = tuple(
        case.model_copy(
            update={"file": place(case.file), "few_shot_file": place(case.few_shot_file)}
        )
        for case in spec.cases
    )
    perturbations = tuple(
        one.model_copy(update={"options": {**one.options, "file": path_of(one.options["file"])}})
        if isinstance(one.options.get("file"), str)
        else one
        for one in spec.perturbations
    )
    judges = tuple(
        one.model_copy(
            update={
                "model": place(one.model) if one.backend != "openai" else one.model,
                "difficulty": place(one.difficulty),
            }
        )
        for one in spec.judge
    )
    spec = spec.model_copy(
        update={
            "train_data": place(spec.train_data),
            "validation": place(spec.validation),
            "adversarial": tuple(str(place(file)) for file in spec.adversarial),
            "ood": tuple(str(place(file)) for file in spec.ood),
            "benchmark_data": spec.benchmark_data and path_of(spec.benchmark_data),
            "judge": judges,
            "perturbations": perturbations,
        }
    )
    output = spec.output.model_copy(update={"dir": path_of(spec.output.dir)})
    tokenizers = {name: str(place(folder)) for name, folder in spec.backend.tokenizers.items()}
    backend = spec.backend.model_copy(update={"tokenizers": tokenizers})
    return spec.model_copy(
        update={"variants": variants, "cases": cases, "output": output, "backend": backend}
    )

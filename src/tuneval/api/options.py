"""The keyword arguments of ``tuneval.compare``, so that a type checker knows each by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict


class CaseOptions(TypedDict, total=False):
    """What holds for all test files; the keys of ``cases`` in run.yaml."""

    task: str
    columns: Mapping[str, str]
    labels: Sequence[str] | Mapping[str, str] | None
    groups: str | Sequence[str]
    limit: int | float | None
    split: str
    template: str | None
    options: Mapping[str, Any]
    few_shot: int | None
    few_shot_file: str | None
    skip_bad_rows: bool
    turns: Literal["last", "all"]


class CompareOptions(CaseOptions, total=False):
    """Words of a comparison and the sections of run.yaml."""

    name: str | None
    revision: str | None
    trust_remote_code: bool
    training_log: str | None
    base_as: Literal["auto", "lm", "none"]
    train_data: str | None
    validation: str | None
    adversarial: str | Sequence[str]
    ood: str | Sequence[str]
    benchmark_data: str | None
    judge: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] | None
    task_options: Mapping[str, Mapping[str, Any]]
    prompting: PromptingOptions
    metrics: str | Sequence[str] | Mapping[str, Any]
    perturbations: Sequence[str | Mapping[str, Any]]
    statistics: StatisticsOptions
    backend: Mapping[str, Any]
    gates: Mapping[str, str]
    output: Mapping[str, Any]


class PromptingOptions(TypedDict, total=False):
    """The section ``prompting`` of run.yaml."""

    chat_template: Literal["auto", "on", "off"]
    trial: Literal["warn", "take", "none"]
    thinking: Literal["cut", "keep", "off"]
    system: str | None
    few_shot: int
    selection_seed: int
    allow_lost_questions: bool


class StatisticsOptions(TypedDict, total=False):
    """The section ``statistics`` of run.yaml."""

    confidence: float
    resamples: int
    resampling_seed: int
    perturbation_seed: int
    margin_points: float
    until_decided: bool
    decided_margin_points: float | None

"""A finished run as the pipeline would leave it, with hostile texts in it: support intents, five
variants, eight labels, groups, perturbed twins, learning curves. All numbers follow from one seed."""

from __future__ import annotations

import dataclasses
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tuneval.types import (
    Case,
    CaseSet,
    Comparison,
    Confusion,
    Effort,
    Finding,
    Flips,
    Interval,
    LearningCurve,
    Message,
    PerClass,
    Prediction,
    RunResult,
    Score,
    ShownPrompt,
    TrainingLog,
    Variant,
    VariantFacts,
    Verdict,
)

LABELS = ("login", "billing", "refund", "delivery", "product", "cancel", "bug", "details")
HOSTILE_TEXTS = (
    '<script>document.title="owned"</script><img src=x onerror=alert(1)>',
    "</script><!-- --><script>window.owned = 1</script>",
    "\x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07 clipboard",
    "right \u202eto left\u202c and \u2028 separator",
    '=HYPERLINK("http://evil.example","refund")',
    "{{ 7 * 7 }} {% raw %} ${7*7} & &amp; [link](javascript:alert(1)) @everyone #1",
)
_REQUESTS = {
    "login": "I cannot sign in with my new phone",
    "billing": "You charged my card twice this month",
    "refund": "When do I get my money back for the jacket",
    "delivery": "My parcel should have been here on Tuesday",
    "product": "Does the lamp also work with 110 volts",
    "cancel": "Please stop my subscription at the end of the month",
    "bug": "The app closes as soon as I open the map",
    "details": "I moved and need to change my address",
}
_REMARKS = ("", "", " Thanks in advance!", " This is the second time I write.", " Order {n}.")
_SKILL = {"base": 0.55, "lora-0": 0.945, "lora-1": 0.955, "lora-2": 0.958, "full": 0.965}
_CONFUSED_WITH = {"refund": "billing", "cancel": "details", "product": "delivery", "bug": "login"}


def finished_run(
    n_cases: int = 400, *, hostile: bool = True, complete: bool = True, perturbed: bool = True
) -> RunResult:
    """Build the run; ``n_cases`` counts originals, each of which has two perturbed twins."""
    dice = random.Random(7)
    case_set = _case_set(n_cases, dice, hostile, perturbed)
    variants = _variants()
    predictions = {v.name: _predictions(v.name, case_set, dice, hostile) for v in variants}
    right = {
        name: tuple(
            float(p.label == c.references[0]) for p, c in zip(answers, case_set.cases, strict=True)
        )
        for name, answers in predictions.items()
    }
    scores = _scores(case_set, right)
    comparisons = _comparisons(case_set, right, scores)
    return RunResult(
        run_id="3f9c21",
        name="support-intents",
        created="2026-11-21T10:00:00Z",
        seconds=14.2,
        tuneval_version="0.1.0",
        spec={
            "name": "support-intents",
            "task_options": {"classify": {"template": "Message: {text}\nTopic:"}},
            "statistics": {"confidence": 0.95, "resamples": 10000},
        },
        environment={"python": "3.11.2", "torch": "2.13.0", "transformers": "5.23.0", "cpu": "2"},
        variants=variants,
        facts=_facts(variants),
        case_sets=(case_set,),
        predictions=predictions,
        case_scores=right,
        primary_metrics={case_set.name: "accuracy"},
        scores=scores,
        comparisons=comparisons,
        verdicts=_verdicts(n_cases),
        headline="BETTER, WITH WARNINGS",
        confusions=tuple(_confusion(v.name, case_set, predictions[v.name]) for v in variants),
        per_class=_per_class(case_set, predictions),
        flips=_flips(case_set, right),
        learning_curves=_curves(),
        findings=_findings(case_set.name),
        problems=('f1_macro is undefined for label "details" of base under long: no such case',),
        notes=('column "text" is the input, "label" the class (8 values)',),
        is_complete=complete,
        output_dir="./tuneval-runs/support-3f9c21",
        effort=tuple(Effort(v.name, 3 * n_cases, 96 * n_cases, 6 * n_cases, 2.5) for v in variants),
        **_prompts(case_set, variants),
    )


def _prompts(case_set: CaseSet, variants: Sequence[Variant]) -> dict[str, Any]:
    """The full fine-tune reads a chat template; every ninth of its prompts was cut."""
    plain, chat = [], []
    for number, case in enumerate(case_set.cases):
        text = str(case.inputs["text"]) if "text" in case.inputs else case.id
        plain.append(ShownPrompt(f"<s>Message: {text}\nTopic:", " login"))
        asked = f"<s><|user|>Message: {text}\nTopic:<|assistant|>"
        cut = {"n_cut": 40, "cut_at": 3} if number % 9 == 0 else {}
        chat.append(ShownPrompt(asked, "login", **cut))
    places = {one: place for place, one in enumerate(dict.fromkeys([*plain, *chat]))}
    return {
        "prompts": tuple(places),
        "prompt_places": {
            one.name: tuple(places[own] for own in (chat if one.kind == "full" else plain))
            for one in variants
        },
    }


def _findings(case_set: str) -> tuple[Finding, ...]:
    """One of each level: bins of confidence, leaked cases, a swap, a check of another package."""
    bins = [((i + 0.5) / 5, 0.1 + 0.16 * i, 0.02 + 0.15 * i, 0.25 + 0.15 * i, 80) for i in range(5)]
    return (
        Finding(
            "calibration",
            "full",
            case_set,
            "label probabilities",
            "warning",
            "full is right 96% of the time but 3 points too sure.",
            {"ece": 0.03, "null_95": float("nan")},
            {
                "confidence": "share",
                "accuracy": "share",
                "low": "share",
                "high": "share",
                "cases": "count",
            },
            tuple(bins),
        ),
        Finding(
            "contamination",
            "",
            case_set,
            "train.jsonl",
            "warning",
            "8 of 400 cases occur in the training file.",
            {"exact": 8.0},
            {"case": "text", "training line": "text", "overlap": "share"},
            (
                ("test.jsonl:3", "train.jsonl:17", 1.0),
                ("test.jsonl:9<b>", HOSTILE_TEXTS[0], None),
            ),
        ),
        Finding(
            "counterfactual", "lora", case_set, "gender:both", "unclear", "3 of 400 answers turned."
        ),
        Finding("house rules", "lora", case_set, "", "clear", "lora keeps them.", {"kept": 1.0}),
    )


def _case_set(n_cases: int, dice: random.Random, hostile: bool, perturbed: bool) -> CaseSet:
    originals = []
    for index in range(n_cases):
        label = LABELS[int(dice.random() ** 1.3 * len(LABELS))]
        remark = _REMARKS[int(dice.random() * len(_REMARKS))].format(n=1000 + index)
        text = f"{_REQUESTS[label]}.{remark}"
        if hostile and index < len(HOSTILE_TEXTS):
            text = HOSTILE_TEXTS[index]
        writer = "learner" if dice.random() < 0.3 else "fluent"
        channel = ("app", "mail", "chat")[int(dice.random() * 3)]
        originals.append(
            Case(
                id=f"test.jsonl:{index + 1}",
                inputs={"text": text, "order": 1000 + index},
                references=(label,),
                groups={"writer": writer, "channel": channel},
            )
        )
    twins = []
    if perturbed:
        for kind in ("typos:medium", "long:2x"):
            for case in originals:
                text = str(case.inputs["text"])
                changed = (
                    text.replace("e", "", 1) if kind[0] == "t" else f"{text} By the way, {text}"
                )
                twins.append(
                    Case(
                        id=f"{case.id}~{kind}",
                        inputs={**case.inputs, "text": changed},
                        references=case.references,
                        groups=case.groups,
                        origin=case.id,
                        perturbation=kind,
                    )
                )
    return CaseSet(
        name="test",
        source="test.jsonl",
        layout="labelled text",
        task="classify",
        cases=(*originals, *twins),
        labels=LABELS,
        columns={"text": "text", "reference": "label"},
        offered_groups=("region",),
        sha256="9a" * 32,
        notes=('column "text" -> label', "12 inputs occur twice"),
        skipped=('test.jsonl, line 52: label "refnd" is not one of the 8 labels',),
    )


def _variants() -> tuple[Variant, ...]:
    seeds = (
        Variant(
            f"lora-{seed}",
            "adapter",
            "./base",
            f"out/seed{seed}",
            recipe="lora",
            training_seed=seed,
        )
        for seed in range(3)
    )
    return (Variant("base", "base", "./base"), *seeds, Variant("full", "full", "./full"))


def _facts(variants: Sequence[Variant]) -> tuple[VariantFacts, ...]:
    return tuple(
        VariantFacts(
            variant=v.name,
            fingerprint=f"{index}b7e6d0c" * 5,
            backend="hf",
            device="cpu",
            dtype="float32",
            n_parameters=1_074_048,
            n_adapter_parameters=4096 if v.kind == "adapter" else 0,
            prompt_format="plain template",
            tokenizer="LlamaTokenizerFast (2,048)",
            context_length=256,
            settings={"r": "2", "target_modules": "q_proj v_proj"} if v.kind == "adapter" else {},
            warnings=("no tokenizer files: the base's are used",) if v.name == "lora-0" else (),
        )
        for index, v in enumerate(variants)
    )


def _predictions(
    name: str, case_set: CaseSet, dice: random.Random, hostile: bool
) -> tuple[Prediction, ...]:
    found = []
    for index, case in enumerate(case_set.cases):
        skill = _SKILL[name] - (0.1 if case.groups["writer"] == "learner" else 0)
        skill -= {"typos:medium": 0.1, "long:2x": 0.18}.get(case.perturbation or "", 0)
        label = case.references[0]
        if dice.random() > skill:
            label = _CONFUSED_WITH.get(label, LABELS[int(dice.random() * 8)])
            label = label if dice.random() < 0.8 else LABELS[int(dice.random() * 8)]
        confidence = 0.5 + 0.49 * dice.random()
        rest = (1 - confidence) / (len(LABELS) - 1)
        if name == "base" and index % 97 == 5:
            text = HOSTILE_TEXTS[0] if hostile else "I think the answer is"
            found.append(Prediction(case.id, text=text, problem="unparsed: no label in the answer"))
            continue
        found.append(
            Prediction(
                case_id=case.id,
                text=label,
                label=label,
                label_probabilities={x: confidence if x == label else rest for x in LABELS},
                nll=round(-math.log(confidence if label == case.references[0] else rest), 6),
                n_tokens=2,
                n_bytes=len(label) + 1,
            )
        )
    return tuple(found)


def _wilson(right: float, n: int) -> Interval:
    z = 1.959964
    center = (right + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(right * (n - right) / n + z * z / 4)
    return Interval(center - half, center + half, 0.95, "wilson")


def _slices(case_set: CaseSet) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {"all": []}
    for index, case in enumerate(case_set.cases):
        if case.perturbation:
            found.setdefault(case.perturbation, []).append(index)
            continue
        found["all"].append(index)
        for key, value in sorted(case.groups.items()):
            found.setdefault(f"{key}={value}", []).append(index)
    return found


def _score(
    name: str, metric: str, slice_: str, values: Sequence[float], n: int, note: str = ""
) -> Score:
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1 or 1))
    seeds = tuple(values) if len(values) > 1 else ()
    return Score(
        variant=name,
        case_set="test",
        metric=metric,
        slice=slice_,
        value=mean,
        interval=_wilson(mean * n, n),
        n_cases=n,
        unit="share",
        higher_is_better=metric != "ece",
        signature=f"{metric}|labels:8|version:0.1.0",
        training_seeds=seeds,
        standard_deviation=spread if seeds else None,
        note=note,
    )


_ARMS = {"base": ("base",), "lora": ("lora-0", "lora-1", "lora-2"), "full": ("full",)}
_SHIFT = {"f1_macro": -0.02, "f1_weighted": -0.004}
_ECE = {"base": 0.204, "lora": 0.173, "full": 0.026}


def _scores(case_set: CaseSet, right: dict[str, tuple[float, ...]]) -> tuple[Score, ...]:
    found = []
    for slice_, indexes in _slices(case_set).items():
        for arm, seeds in _ARMS.items():
            values = [sum(right[seed][i] for i in indexes) / len(indexes) for seed in seeds]
            note = f"n={len(indexes)}" if "=" in slice_ else ""
            found.append(_score(arm, "accuracy", slice_, values, len(indexes), note))
            if slice_ == "all":
                for metric, shift in _SHIFT.items():
                    found.append(
                        _score(arm, metric, "all", [v + shift for v in values], len(indexes))
                    )
                ece = [_ECE[arm] + 0.002 * step for step in range(len(seeds))]
                found.append(_score(arm, "ece", "all", ece, len(indexes)))
    return tuple(found)


def _comparisons(
    case_set: CaseSet, right: dict[str, tuple[float, ...]], scores: Sequence[Score]
) -> tuple[Comparison, ...]:
    by_key = {(s.variant, s.metric, s.slice): s for s in scores}
    found = []
    for baseline, candidate, p in (
        ("base", "lora", 1e-9),
        ("base", "full", 1e-9),
        ("lora", "full", 0.214),
    ):
        for metric in ("accuracy", "f1_macro", "f1_weighted", "ece"):
            low, high = by_key[baseline, metric, "all"], by_key[candidate, metric, "all"]
            difference = high.value - low.value
            found.append(
                Comparison(
                    baseline=baseline,
                    candidate=candidate,
                    case_set="test",
                    metric=metric,
                    slice="all",
                    difference=difference,
                    interval=Interval(difference - 0.046, difference + 0.046, 0.95, "paired"),
                    p_value=p / 4,
                    p_adjusted=p if metric != "ece" else 0.08,
                    test="McNemar mid-p" if metric == "accuracy" else "bootstrap",
                    n_cases=high.n_cases,
                    detectable_difference=0.031,
                    higher_is_better=metric != "ece",
                    details={"n_needed": 1850.0, "undefined": math.nan},
                )
            )
    for slice_, indexes in _slices(case_set).items():
        if "=" in slice_ or slice_ == "all":
            continue
        for arm in _ARMS:
            clean, changed = by_key[arm, "accuracy", "all"], by_key[arm, "accuracy", slice_]
            found.append(
                Comparison(
                    baseline=arm,
                    candidate=arm,
                    case_set="test",
                    metric="accuracy",
                    slice=slice_,
                    difference=changed.value - clean.value,
                    interval=None,
                    p_value=None,
                    p_adjusted=None,
                    test="ratio to clean",
                    n_cases=len(indexes),
                    detectable_difference=None,
                    details={"clean": clean.value, "ratio": changed.value / clean.value},
                )
            )
    return tuple(found)


def _verdicts(n_cases: int) -> tuple[Verdict, ...]:
    return (
        Verdict(
            candidate="lora",
            baseline="base",
            decision="better",
            headline="BETTER, WITH WARNINGS",
            reasons=(
                "Fine-tuning improved accuracy by +39.8 points over the base model "
                f"(95% CI +35.1 to +44.4, n={n_cases}).",
            ),
            warnings=(
                "lora is brittle: accuracy falls from 92.8 to 75.6 under long (81% of clean). "
                "Add long examples to the training data.",
                "accuracy differs between groups by 9.3 points (permutation p=.004); "
                "lowest: writer=learner, n=120.",
            ),
        ),
        Verdict(
            candidate="full",
            baseline="lora",
            decision="undecided",
            headline="INCONCLUSIVE",
            reasons=(
                f"The gap looks excellent (1.2 points), but {n_cases} examples allow a gap up to "
                "3.1. About 1850 would prove it.",
            ),
        ),
    )


def _confusion(name: str, case_set: CaseSet, answers: Sequence[Prediction]) -> Confusion:
    counts = Counter(
        (case.references[0], answer.label)
        for case, answer in zip(case_set.cases, answers, strict=True)
        if case.origin is None
    )
    rows = tuple(tuple(counts[row, column] for column in (*LABELS, None)) for row in LABELS)
    return Confusion(name, "test", LABELS, rows)


def _per_class(
    case_set: CaseSet, predictions: dict[str, tuple[Prediction, ...]]
) -> tuple[PerClass, ...]:
    found = []
    for name, answers in predictions.items():
        confusion = _confusion(name, case_set, answers).counts
        for index, label in enumerate(LABELS):
            hit, n = confusion[index][index], sum(confusion[index])
            given = sum(row[index] for row in confusion)
            precision = hit / given if given else math.nan
            recall = hit / n if n else math.nan
            f1 = 2 * hit / (n + given) if n + given else math.nan
            found.append(PerClass(name, "test", label, precision, recall, f1, n))
    return tuple(found)


def _flips(case_set: CaseSet, right: dict[str, tuple[float, ...]]) -> tuple[Flips, ...]:
    originals = [i for i, case in enumerate(case_set.cases) if case.origin is None]
    found = []
    for baseline, candidate in (("base", "lora-0"), ("base", "full"), ("lora-0", "full")):
        pairs = [(right[baseline][i], right[candidate][i], case_set.cases[i].id) for i in originals]
        found.append(
            Flips(
                baseline=baseline,
                candidate=candidate,
                case_set="test",
                both_right=sum(1 for a, b, _ in pairs if a and b),
                both_wrong=sum(1 for a, b, _ in pairs if not a and not b),
                fixed=tuple(c for a, b, c in pairs if b and not a),
                broken=tuple(c for a, b, c in pairs if a and not b),
            )
        )
    return tuple(found)


def _curves() -> tuple[LearningCurve, ...]:
    steps = tuple(range(10, 100, 10))
    train = tuple(round(2.2 * math.exp(-step / 25) + 0.06, 6) for step in steps)
    good = (0.62, 0.31, 0.19, 0.158, 0.149, 0.147)
    risen = (0.129, 0.092, 0.11, 0.118, 0.12, 0.12)
    at = (15, 30, 45, 60, 75, 90)
    return (
        LearningCurve(
            "lora-0",
            TrainingLog(steps, train, at, good, 90, "out/seed0/trainer_state.json:12"),
            "Validation loss was still falling at the last step: training had not converged.",
            False,
        ),
        LearningCurve(
            "full",
            TrainingLog(
                steps, tuple(t * 0.3 for t in train), at, risen, 30, "full/trainer_state.json:9"
            ),
            "Validation loss reached its minimum 0.092 at step 30 and rose to 0.120 (+30%). "
            "The checkpoint at step 30 is the one to evaluate.",
            True,
        ),
    )


def five_arms(result: RunResult) -> RunResult:
    """The same run with three recipes of one adapter each: five arms with names of 12 letters."""
    return many_arms(result, ("lora-rank-04", "lora-rank-16", "lora-rank-64"))


def many_arms(result: RunResult, names: Sequence[str]) -> RunResult:
    """The same run with a recipe of one adapter each, whose answers are those of three in turn."""
    seeds = {name: f"lora-{place % 3}" for place, name in enumerate(names)}
    base, full = result.variants[0], result.variants[-1]
    adapters = tuple(
        dataclasses.replace(v, name=name, recipe=name, training_seed=None)
        for name in names
        for v in result.variants
        if v.name == seeds[name]
    )

    def spread(records: Sequence[Any], *fields: str) -> tuple[Any, ...]:
        found = []
        for record in records:
            mine = [field for field in fields if getattr(record, field) == "lora"]
            if not mine:
                found.append(record)
            for name in names if mine else ():
                changed = dataclasses.replace(record, **dict.fromkeys(mine, name))
                found.append(changed)
        return tuple(found)

    scores = tuple(
        dataclasses.replace(score, training_seeds=(), standard_deviation=None)
        for score in spread(result.scores, "variant")
    )
    back = {old: new for new, old in reversed(seeds.items())}

    def own(values: Mapping[str, Any]) -> dict[str, Any]:
        every = ("base", *names, "full")
        return {name: values[seeds.get(name, name)] for name in every}

    return dataclasses.replace(
        result,
        variants=(base, *adapters, full),
        facts=tuple(
            dataclasses.replace(f, variant=back.get(f.variant, f.variant)) for f in result.facts
        ),
        scores=scores,
        comparisons=spread(result.comparisons, "baseline", "candidate"),
        predictions=own(result.predictions),
        case_scores=own(result.case_scores),
        prompt_places=own(result.prompt_places),
        confusions=(),
        per_class=(),
        flips=(),
        learning_curves=(),
    )


def with_benchmark(result: RunResult, n_labels: int = 40) -> RunResult:
    """The same run with a second case set of many labels, on which tuning forgot something."""
    labels = tuple(f"intent_{index:02d}" for index in range(n_labels))
    cases = tuple(
        Case(
            id=f"bank:{index}",
            inputs={
                "messages": (Message("system", "Be brief."), Message("user", f"Question {index}"))
            },
            references=(labels[index % n_labels],),
        )
        for index in range(n_labels * 3)
    )
    case_set = CaseSet("bank", "bank.jsonl", "chat", "classify", cases, labels)
    predictions, right = dict(result.predictions), dict(result.case_scores)
    confusions = list(result.confusions)
    for place, variant in enumerate(result.variants):
        given = [
            labels[(index + (index % (7 + place) == 0) * 5) % n_labels]
            for index in range(len(cases))
        ]
        answers = tuple(
            Prediction(case.id, text=label, label=label)
            for case, label in zip(cases, given, strict=True)
        )
        predictions[variant.name] = (*predictions[variant.name], *answers)
        values = tuple(
            float(a.label == c.references[0]) for a, c in zip(answers, cases, strict=True)
        )
        right[variant.name] = (*right[variant.name], *values)
        counts = Counter((c.references[0], a.label) for c, a in zip(cases, answers, strict=True))
        rows = tuple(tuple(counts[a, b] for b in (*labels, None)) for a in labels)
        confusions.append(Confusion(variant.name, "bank", labels, rows))
    scores = [
        dataclasses.replace(score, case_set="bank", value=score.value - 0.2, interval=None)
        for score in result.scores
        if score.metric == "accuracy" and score.slice == "all"
    ]
    comparisons = [
        dataclasses.replace(c, case_set="bank", difference=-0.05)
        for c in result.comparisons
        if c.metric == "accuracy" and c.slice == "all"
    ]
    return dataclasses.replace(
        result,
        case_sets=(*result.case_sets, case_set),
        predictions=predictions,
        case_scores=right,
        primary_metrics={**result.primary_metrics, "bank": "accuracy"},
        scores=(*result.scores, *scores),
        comparisons=(*result.comparisons, *comparisons),
        confusions=tuple(confusions),
    )


def free_text(result: RunResult) -> RunResult:
    """The same run with graded answers in free text, for which less is better."""
    case_set = result.case_sets[0]
    wanted = "The parcel will arrive on Tuesday, we are very sorry for the long delay."
    cases = tuple(dataclasses.replace(case, references=(wanted,)) for case in case_set.cases)
    values = {"base": 31.42, "lora": 9.87, "full": 8.1}
    scores = tuple(
        dataclasses.replace(
            score,
            metric="perplexity",
            unit="perplexity",
            higher_is_better=False,
            value=values[score.variant],
            interval=Interval(
                values[score.variant] - 1.2, values[score.variant] + 1.9, 0.95, "bca"
            ),
            training_seeds=(),
            standard_deviation=None,
        )
        for score in result.scores
        if score.metric == "accuracy"
    )
    comparisons = tuple(
        dataclasses.replace(
            comparison,
            metric="perplexity",
            unit="perplexity",
            higher_is_better=False,
            difference=values[comparison.candidate] - values[comparison.baseline],
            interval=None,
        )
        for comparison in result.comparisons
        if comparison.metric == "accuracy" and comparison.slice == "all"
    )
    return dataclasses.replace(
        result,
        case_sets=(dataclasses.replace(case_set, cases=cases, labels=None, task="generate"),),
        predictions={
            name: tuple(
                Prediction(case.id, text=f"The parcel should arrive on Friday, says {name}. Sorry.")
                for case in cases
            )
            for name in result.predictions
        },
        case_scores={
            name: tuple((index % 7) / 7 if index % 5 else None for index in range(len(cases)))
            for name in result.case_scores
        },
        scores=scores,
        comparisons=comparisons,
        primary_metrics={"test": "perplexity"},
        confusions=(),
        per_class=(),
        flips=(),
    )

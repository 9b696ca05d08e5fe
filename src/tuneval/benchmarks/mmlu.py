"""MMLU: 57 school and professional subjects, four choices a question."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from tuneval.benchmarks import Facts, Place, source
from tuneval.errors import DataError
from tuneval.types import Case

CATEGORIES: dict[str, tuple[str, ...]] = {
    "humanities": (
        "formal_logic", "high_school_european_history", "high_school_us_history",
        "high_school_world_history", "international_law", "jurisprudence", "logical_fallacies",
        "moral_disputes", "moral_scenarios", "philosophy", "prehistory", "professional_law",
        "world_religions",
    ),
    "social_sciences": (
        "econometrics", "high_school_geography", "high_school_government_and_politics",
        "high_school_macroeconomics", "high_school_microeconomics", "high_school_psychology",
        "human_sexuality", "professional_psychology", "public_relations", "security_studies",
        "sociology", "us_foreign_policy",
    ),
    "stem": (
        "abstract_algebra", "anatomy", "astronomy", "college_biology", "college_chemistry",
        "college_computer_science", "college_mathematics", "college_physics", "computer_security",
        "conceptual_physics", "electrical_engineering", "elementary_mathematics",
        "high_school_biology", "high_school_chemistry", "high_school_computer_science",
        "high_school_mathematics", "high_school_physics", "high_school_statistics",
        "machine_learning",
    ),
    "other": (
        "business_ethics", "clinical_knowledge", "college_medicine", "global_facts", "human_aging",
        "management", "marketing", "medical_genetics", "miscellaneous", "nutrition",
        "professional_accounting", "professional_medicine", "virology",
    ),
}  # fmt: skip
"""Category -> subjects, as lm-eval groups them."""

CATEGORY_OF = {subject: name for name, subjects in CATEGORIES.items() for subject in subjects}
SUBJECTS = tuple(sorted(CATEGORY_OF))
LETTERS = "ABCD"
SIZES: dict[str, dict[str, int]] = {
    "": {"test": 14_042, "dev": 285},
    "humanities": {"test": 4_705},
    "social_sciences": {"test": 3_077},
    "stem": {"test": 3_153},
    "other": {"test": 3_107},
}
"""Published rows of the whole and of the categories; those of a subject stand with its checksum."""


def facts_of(subset: str) -> Facts:
    """What is known of the whole (""), of a category or of a subject."""
    is_subject = subset in SUBJECTS
    return Facts(
        name=f"mmlu:{subset}" if subset else "mmlu",
        title="MMLU" + (f", {subset.replace('_', ' ')}" if subset else ""),
        measures="Knowledge and reasoning in 57 subjects from school to profession, by four choices.",
        licence="MIT",
        citation="Hendrycks et al. (2021), Measuring massive multitask language understanding, ICLR.",
        hub="cais/mmlu",
        config=subset if is_subject else "all",
        sizes=SIZES.get(subset, {}),
        split="test",
        pool="dev",
        shots="first",
        strata="subject",
        task="multiple_choice",
        options={
            "preface": "The following are multiple choice questions (with answers) about {topic}.",
            "prompt_style": "text",
        },
        metrics=("accuracy", "log_loss", "brier", "ece")
        if is_subject
        else ("accuracy", "accuracy_macro", "log_loss", "brier", "ece"),
        prompts="mmlu-1 (lm-eval mmlu 1.0)",
    )


class Mmlu:
    """Whole, a category or a subject. ``accuracy`` counts every question alike (micro, as lm-eval does),
    ``accuracy_macro`` every subject."""

    subsets = ("", *CATEGORIES, *SUBJECTS)

    def facts(self, subset: str) -> Facts:
        """What is known of it."""
        return facts_of(subset)

    def read(self, place: Place, subset: str, split: str) -> tuple[Case, ...]:
        """The hub's rows (all subjects in one file or one folder each), or the original CSV files."""
        facts = facts_of(subset)
        wanted = CATEGORIES.get(subset, (subset,) if subset else SUBJECTS)
        tables = _every_subject(split) if facts.config == "all" else ()
        own = (*source.usual(split, facts.config), *source.usual(split, "all"), *tables)
        files = source.find(place, facts, own)
        sheets = () if files else source.find(place, facts, _sheets(split, facts.config))
        if sheets:
            rows = [row for path in sheets for row in _of_sheet(path)]
        else:
            rows = (
                source.rows_of(files)
                if files
                else source.from_hub(place, facts, split, facts.config)
            )
        found: dict[str, list[source.Row]] = {subject: [] for subject in sorted(wanted)}
        for row in rows:
            subject = row.text("subject")
            if subject in found:
                found[subject].append(row)
        if not any(found.values()):
            raise DataError(
                f'benchmark "{facts.name}": {source.origin(place, facts)} has no row of it in split '
                f"{split}."
            )
        return tuple(
            _case(f"mmlu:{subject}:{n}", subject, row)
            for subject, own in found.items()
            for n, row in enumerate(own, 1)
        )


def _case(case_id: str, subject: str, row: source.Row) -> Case:
    choices = tuple(map(str, row["choices"]))
    if len(choices) != len(LETTERS):
        raise DataError(f"{row.where}: {len(choices)} choices, expected {len(LETTERS)}.")
    return Case(
        case_id,
        {
            "question": row.text("question").strip(),
            "choices": choices,
            "topic": subject.replace("_", " "),
        },
        (str(row.index("answer", len(LETTERS))),),
        groups={"subject": subject, "category": CATEGORY_OF[subject]},
    )


def _every_subject(split: str) -> tuple[str, ...]:
    return (f"*/{split}-*.parquet", f"*/{split}.parquet", f"*/{split}/*.parquet")


def _sheets(split: str, config: str) -> tuple[str, ...]:
    name = f"{'*' if config == 'all' else config}_{split}.csv"
    return (f"{split}/{name}", f"data/{split}/{name}")


def _of_sheet(path: Path) -> Iterator[source.Row]:
    """Rows of an original CSV file, which has no header: question, four choices, letter."""
    subject = path.stem.rpartition("_")[0]
    with path.open(encoding="utf-8-sig", newline="") as sheet:
        for n, cells in enumerate(csv.reader(sheet), 1):
            where = f"{path}, row {n}"
            if len(cells) != 6 or cells[5] not in LETTERS:
                raise DataError(f"{where}: expected a question, four choices and A, B, C or D.")
            yield source.Row(
                where,
                {
                    "question": cells[0],
                    "choices": cells[1:5],
                    "answer": LETTERS.index(cells[5]),
                    "subject": subject,
                },
            )

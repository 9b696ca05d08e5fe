"""``tuneval split``: one data file becomes training, validation and test files; no model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tuneval.data.split import Split


def split(
    data: Annotated[str, typer.Argument(metavar="FILE", help="cases (jsonl, csv, tsv, .gz)")],
    test: Annotated[float, typer.Option(help="share of the test rows", metavar="SHARE")] = 0.2,
    validation: Annotated[
        float, typer.Option(help="share of the validation rows", metavar="SHARE")
    ] = 0.0,
    stratify: Annotated[
        str | None, typer.Option(help="column with equal shares on all sides", metavar="COLUMN")
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="column that never stands on two sides", metavar="COLUMN")
    ] = None,
    input: Annotated[
        str | None, typer.Option(help="column in which copies are looked for", metavar="COLUMN")
    ] = None,
    selection_seed: Annotated[int, typer.Option(help="seed of the choice", metavar="N")] = 0,
    output_dir: Annotated[
        str | None, typer.Option("--output-dir", help="left out: STEM-split", metavar="DIR")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print counts and weights as JSON")] = False,
) -> int:
    """tuneval split data.jsonl --test 0.2 --stratify label --group user

    Split your own data: by label, by user, with copies kept on one side.
    Rows stay as they are. Prints sizes and class weights for a loss.
    """
    from tuneval.data.split import split as divide

    made = divide(
        data,
        test=test,
        validation=validation,
        stratify=stratify,
        group=group,
        text=input,
        selection_seed=selection_seed,
    )
    folder = Path(output_dir or f"{Path(data).name.partition('.')[0]}-split")
    written = write(made, folder)
    print(as_json(made, written) if json else as_text(made, written))
    return 0


def write(made: Split, folder: Path) -> dict[str, str]:
    """Write one file a side; refuse to overwrite. Returns side -> path."""
    import gzip

    from tuneval.errors import ConfigError
    from tuneval.report.files import replace_file

    paths = {side: folder / f"{side}{made.suffix}" for side in made.rows}
    there = [str(path) for path in paths.values() if path.exists()]
    if there:
        raise ConfigError(
            f'"{there[0]}" is there already. Give another folder with --output-dir DIR.'
        )
    folder.mkdir(parents=True, exist_ok=True)
    for side, path in paths.items():
        if path.suffix == ".gz":
            path.write_bytes(gzip.compress(made.text(side).encode(), mtime=0))
        else:
            replace_file(path, made.text(side))
    return {side: str(path) for side, path in paths.items()}


def as_json(made: Split, written: dict[str, str]) -> str:
    """Counts, labels and weights as one JSON object."""
    import json

    return json.dumps(
        {
            "files": written,
            "rows": {side: len(rows) for side, rows in made.rows.items()},
            "shares": made.shares,
            "shares_asked": made.asked,
            "labels": made.labels,
            "copies_kept_together": made.n_copies,
            "imbalance_ratio": made.imbalance_ratio,
            "class_weights": made.class_weights,
        },
        ensure_ascii=False,
        indent=1,
    )


def as_text(made: Split, written: dict[str, str]) -> str:
    """Sizes, and a line a label where there are labels."""
    from tuneval.report.escape import fit, terminal

    total = sum(map(len, made.rows.values()))
    lines = [
        f"{side:<11} {len(rows):>7,} rows ({len(rows) / total:.1%})   {terminal(written[side])}"
        for side, rows in made.rows.items()
    ]
    if made.missed:
        told = ", ".join(
            f"{side} {share:.1%} instead of {made.asked[side]:.1%}"
            for side, share in made.missed.items()
        )
        lines.append(f"reached: {told}: whole groups, labels and copies go to one side")
    if made.n_copies:
        lines.append(f"{made.n_copies:,} copies or near copies stand beside their original")
    if made.imbalance_ratio is not None:
        sides = list(made.rows)
        weights = made.class_weights
        lines += [
            "",
            f"{'label':<28}" + "".join(f"{side:>12}" for side in sides) + f"{'weight':>9}",
        ]
        labels = sorted({label for counts in made.labels.values() for label in counts})
        lines += [
            f"{fit(terminal(label), 27):<28}"
            + "".join(f"{made.labels[side].get(label, 0):>12,}" for side in sides)
            + (f"{weights[label]:>9.3f}" if label in weights else f"{'-':>9}")
            for label in labels
        ]
        lines.append(f"imbalance ratio of the training rows: {made.imbalance_ratio:.2f}")
        lines.append(
            "weight = rows / (labels x rows of the label), for CrossEntropyLoss(weight=...)"
        )
        missing = [label for label in labels if not made.labels["test"].get(label)]
        if missing:
            lines.append(
                f"no test row of {', '.join(map(terminal, missing[:5]))}: too few rows of it"
            )
    return "\n".join(lines)

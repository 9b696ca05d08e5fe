"""Weights & Biases: into the run that is active, or a new one; without a key it stays offline."""

from __future__ import annotations

import os
from typing import Any

from tuneval.trackers.tracked import Table, Tracked


class WeightsAndBiases:
    """Online with a key, offline without."""

    package = "wandb"

    def check(self) -> None:
        """Nothing beside the package is needed."""

    def send(self, run: Tracked) -> str:
        """Summary, tables, the report as media and as an artefact, the verdict as tags."""
        import wandb

        own = wandb.run is None
        active: Any = wandb.run or wandb.init(
            project=os.environ.get("WANDB_PROJECT", "tuneval"),
            name=run.name,
            config=run.settings,
            tags=sorted(set(run.verdicts.values())),
            mode=os.environ.get("WANDB_MODE") or ("online" if _has_key() else "offline"),
            dir=os.environ.get("WANDB_DIR") or str(run.folder),
        )
        try:
            if not own:
                active.tags = tuple(dict.fromkeys([*(active.tags or ()), *run.verdicts.values()]))
            active.log(
                {
                    **run.scalars,
                    "tuneval/comparisons": _table(run.comparisons),
                    "tuneval/cases": _table(run.cases),
                    "tuneval/report": wandb.Html(
                        run.report.read_text(encoding="utf-8"), inject=False
                    ),
                }
            )
            active.summary["tuneval/verdict"] = run.headline
            artefact = wandb.Artifact(f"tuneval-{run.run_id}", type="evaluation")
            artefact.add_file(str(run.report), name="report.html")
            active.log_artifact(artefact)
            place = active.url or f"{active.dir} (offline; wandb sync sends it)"
        finally:
            if own:
                active.finish()
        return str(place)


def _has_key() -> bool:
    import wandb

    return bool(os.environ.get("WANDB_API_KEY") or wandb.api.api_key)


def _table(table: Table) -> Any:
    import wandb

    rows = [list(row) for row in table.rows]
    return wandb.Table(columns=list(table.columns), data=rows, allow_mixed_types=True)

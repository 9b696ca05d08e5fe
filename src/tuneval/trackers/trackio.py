"""trackio: its local store; a Space only where ``TRACKIO_SPACE_ID`` names one."""

from __future__ import annotations

import os
from typing import Any

from tuneval.trackers.tracked import Table, Tracked


class Trackio:
    """Its store on this machine."""

    package = "trackio"

    def check(self) -> None:
        """Nothing beside the package is needed."""

    def send(self, run: Tracked) -> str:
        """Scalars, tables and the verdict as text; the report as an artefact."""
        import trackio

        project = os.environ.get("TRACKIO_PROJECT", "tuneval")
        trackio.init(
            project=project,
            name=f"{run.name}-{run.run_id}",
            config={**run.settings, **{f"verdict.{key}": one for key, one in run.verdicts.items()}},
            resume="allow",
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )
        try:
            trackio.log(
                {
                    **run.scalars,
                    "tuneval/verdict": trackio.Markdown(run.headline),
                    "tuneval/comparisons": _table(run.comparisons),
                    "tuneval/cases": _table(run.cases),
                }
            )
            trackio.log_artifact(str(run.report), name=f"tuneval-{run.run_id}", type="evaluation")
        finally:
            trackio.finish()
        return f"project {project} (trackio show --project {project})"


def _table(table: Table) -> Any:
    import trackio

    rows = [list(row) for row in table.rows]
    return trackio.Table(columns=list(table.columns), data=rows)

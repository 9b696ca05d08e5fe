"""MLflow: where ``MLFLOW_TRACKING_URI`` and ``MLFLOW_EXPERIMENT_NAME`` say, or into the run that is active."""

from __future__ import annotations

import contextlib
import re
from importlib.util import find_spec

from tuneval.errors import ConfigError
from tuneval.trackers.tracked import Table, Tracked

_ODD = re.compile(r"[^\w\-. /]")
"""MLflow takes no other characters in a name."""
_LONGEST = 500
"""Characters of a tag or parameter that every store of MLflow takes."""


class MLflow:
    """A server, or a store on this machine."""

    package = "mlflow"

    def check(self) -> None:
        """Without a server MLflow keeps a database of its own, which its slim package cannot open."""
        import mlflow

        if mlflow.get_tracking_uri().startswith("sqlite:") and find_spec("sqlalchemy") is None:
            raise ConfigError(
                "--track mlflow: no server is named, and the slim package has no store of its own.\n"
                "Set MLFLOW_TRACKING_URI=http://HOST:5000, or pip install mlflow."
            )

    def send(self, run: Tracked) -> str:
        """Metrics, tags, tables in MLflow's own form, and the report as an artefact."""
        import mlflow

        is_inside = mlflow.active_run() is not None
        with contextlib.nullcontext() if is_inside else mlflow.start_run(run_name=run.name):
            active = mlflow.active_run()
            mlflow.log_metrics({_name(key): value for key, value in run.scalars.items()})
            mlflow.set_tags(
                {
                    "tuneval.verdict": run.headline[:_LONGEST],
                    **{_name(f"tuneval.verdict.{key}"): one for key, one in run.verdicts.items()},
                    **{_name(key): value[:_LONGEST] for key, value in run.settings.items()},
                }
            )
            mlflow.log_dict(_split(run.comparisons), "tuneval/comparisons.json")
            mlflow.log_dict(_split(run.cases), "tuneval/cases.json")
            mlflow.log_artifact(str(run.report), "tuneval")
        return f"run {active.info.run_id} in {mlflow.get_tracking_uri()}"


def _name(text: str) -> str:
    return _ODD.sub("_", text)


def _split(table: Table) -> dict[str, object]:
    """As ``mlflow.log_table`` writes a table, so that its viewer shows one."""
    return {"columns": list(table.columns), "data": [list(row) for row in table.rows]}

"""A finished run -> an experiment tracker, when it is asked for. One file a tracker.

Where it is sent is settled by the tracker's own environment variables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tuneval.trackers.tracked import Tracked


class Tracker(Protocol):
    """``package`` is what it needs, imported inside; the extra is called as the tracker is in the table.

    ``check`` raises ConfigError before a run for what would stop ``send`` after it; ``send`` says where
    the run lies now.
    """

    package: str

    def check(self) -> None: ...
    def send(self, run: Tracked) -> str: ...


TRACKERS = {
    "mlflow": "tuneval.trackers.mlflow:MLflow",
    "tensorboard": "tuneval.trackers.tensorboard:TensorBoard",
    "trackio": "tuneval.trackers.trackio:Trackio",
    "wandb": "tuneval.trackers.wandb:WeightsAndBiases",
}

"""TensorBoard: event files in the run's own folder; it keeps no files, so the report is a link."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from tuneval.report.escape import markdown
from tuneval.trackers.tracked import Table, Tracked

MOST_ROWS = 1000
"""Of the case table; TensorBoard reads a text whole."""


class TensorBoard:
    """Event files."""

    package = "tensorboard"

    def check(self) -> None:
        """Nothing beside the package is needed."""

    def send(self, run: Tracked) -> str:
        """Scalars, and texts: the verdict, the comparisons, the cases, the settings."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        place = run.folder / "tensorboard"
        writer = EventFileWriter(str(place))
        try:
            for value in (*_scalars(run), *_texts(run)):
                writer.add_event(
                    Event(wall_time=time.time(), step=0, summary=Summary(value=[value]))
                )
        finally:
            writer.close()
        return f"tensorboard --logdir {place}"


def _scalars(run: Tracked) -> Iterator[Any]:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.scalar.metadata import create_summary_metadata

    for name, value in run.scalars.items():
        yield Summary.Value(
            tag=name, simple_value=value, metadata=create_summary_metadata(name, "")
        )


def _texts(run: Tracked) -> Iterator[Any]:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.plugins.text.metadata import create_summary_metadata

    verdicts = "\n".join(
        f"- {markdown(pair)}: {decision}" for pair, decision in run.verdicts.items()
    )
    texts = {
        "verdict": f"{markdown(run.headline)}\n\n{verdicts}",
        "comparisons": _markdown(run.comparisons),
        "cases": _markdown(run.cases),
        "settings": _markdown(Table(("setting", "value"), tuple(run.settings.items()))),
    }
    for name, text in texts.items():
        yield Summary.Value(
            tag=f"tuneval/{name}",
            metadata=create_summary_metadata(f"tuneval/{name}", ""),
            tensor=TensorProto(dtype=DT_STRING, string_val=[text.encode("utf-8")]),
        )


def _markdown(table: Table) -> str:
    def line(cells: Iterator[str]) -> str:
        return f"| {' | '.join(cells)} |"

    rows = table.rows[:MOST_ROWS]
    lines = [line(iter(table.columns)), line("---" for _ in table.columns)]
    lines += [line("" if cell is None else markdown(str(cell)) for cell in row) for row in rows]
    if len(table.rows) > len(rows):
        lines.append(f"\n{len(table.rows) - len(rows)} more rows in the run's folder.")
    return "\n".join(lines)

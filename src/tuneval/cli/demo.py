"""``tuneval demo``: the real pipeline on the bundled variants, offline."""

from __future__ import annotations

from typing import Annotated

import typer

NEXT_STEPS = """
What next:
  open the report above in a browser
  tuneval doctor  --adapter YOUR/ADAPTER --data YOUR/TEST.jsonl
  tuneval compare --adapter YOUR/ADAPTER --data YOUR/TEST.jsonl
"""


def demo(
    output_dir: Annotated[
        str, typer.Option("--output-dir", help="where the run's folder goes", metavar="DIR")
    ] = "tuneval-runs",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
) -> int:
    """tuneval demo

    Compare the bundled base, LoRA adapters and full fine-tune, offline.
    """
    from pathlib import Path

    from tuneval.cli.compare import walk
    from tuneval.demo import folder
    from tuneval.plan.spec import RunSpec

    spec = RunSpec.from_yaml(folder() / "run.yaml", [f"output.dir={Path(output_dir).resolve()}"])
    code = walk(spec, as_json=False, quiet=quiet)
    print(NEXT_STEPS, end="")
    return code

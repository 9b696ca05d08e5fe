"""Doors of other tools into our run. Each is imported only when it is named: ``--benchmark lm_eval:...``."""

from __future__ import annotations

BRIDGES = {
    "lm_eval": "tuneval.bridges.lm_eval.load:load",
}
"""Word before the colon of a benchmark's name -> ``load(name, few_shot=, limit=, options=)``, which
returns a ``tuneval.benchmarks.Loaded`` that brings its task and its metrics as objects."""

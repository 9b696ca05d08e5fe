"""What ``import tuneval`` offers: calls that compare, and a result that shows itself."""

from tuneval.api.calls import compare, run, score
from tuneval.api.result import RunResult

__all__ = ["RunResult", "compare", "run", "score"]

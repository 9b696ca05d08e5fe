"""Every error that tuneval raises on purpose.

    TunevalError                 the user can mend it (exit code 2)
    |-- ConfigError              run.yaml, command line, environment
    |-- DataError                a test or training file
    |-- VariantError             a model folder or hub id
    |   |-- AdapterError         an adapter that does not fit or does not act
    |   `-- TokenizerMismatch    base and adapter disagree on tokens or template
    |-- BackendError             the engine while it runs
    |   |-- BackendUnavailable   a package, device or server is missing
    |   `-- OutOfMemory          even one request does not fit
    |-- SandboxError             no working sandbox, or it broke
    `-- MetricError              a metric lacks what it needs

A message says what happened, where, and what to do, with values in double quotes. Formatting and
exit codes are the CLI's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType


class TunevalError(Exception):
    """The user can mend it; the text says how."""


class ConfigError(TunevalError):
    """The run's description is wrong: run.yaml, a flag, an environment variable."""


class DataError(TunevalError):
    """A data file cannot be read as asked."""


class VariantError(TunevalError):
    """A model folder or hub id is not what it should be.

    Attributes
    ----------
    refused : mapping
        Variant name -> reason, where some of several were refused once their weights were there and the
        others may go on.
    """

    refused: Mapping[str, str] = MappingProxyType({})


class AdapterError(VariantError):
    """The adapter does not fit the base model, or does not act on it."""


class TokenizerMismatch(VariantError):
    """Base and adapter disagree about tokens or chat template."""


class BackendError(TunevalError):
    """The engine failed while answering."""


class BackendUnavailable(BackendError):
    """A package, a device or a server that the backend needs is missing."""


class OutOfMemory(BackendError):
    """Not even a single request fits into memory."""


class SandboxError(TunevalError):
    """No working sandbox, or the sandbox itself broke."""


class MetricError(TunevalError):
    """A metric lacks what it needs."""


def gather(headline: str, faults: Sequence[str], remedy: str = "", *, shown: int = 10) -> str:
    """Join many faults into one message: headline, the first ``shown``, the rest as a count."""
    lines = [headline, *(f"    {fault}" for fault in faults[:shown])]
    if len(faults) > shown:
        lines.append(f"    ... and {len(faults) - shown} more")
    if remedy:
        lines.append(remedy)
    return "\n".join(lines)

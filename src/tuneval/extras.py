"""The optional parts of tuneval: what each needs, and what is said where it is not installed."""

from __future__ import annotations

from importlib.util import find_spec

from tuneval.errors import BackendUnavailable

EXTRAS = {
    "models": ("torch", "transformers", "peft", "accelerate"),
    "server": ("httpx2",),
    "ray": ("ray",),
    "vllm": ("vllm",),
    "generation": ("nltk",),
    "parquet": ("pyarrow",),
    "hub": ("datasets",),
    "pandas": ("pandas",),
    "plot": ("matplotlib",),
}
"""Extra of ``pip install 'tuneval[NAME]'`` -> the modules that it brings."""

WITHOUT_MODELS = "score, plan, split, report, gate, diff, runs and history do without."


def missing(extra: str) -> tuple[str, ...]:
    """Modules of an extra that are not installed here; imports none of them."""
    return tuple(module for module in EXTRAS[extra] if not _is_here(module))


def need(extra: str, what: str) -> None:
    """Refuse ``what`` where an extra is not installed.

    Raises
    ------
    BackendUnavailable
        Says what is missing and the line that installs it.
    """
    lacking = missing(extra)
    if not lacking:
        return
    text = (
        f"{what} needs {', '.join(lacking)}, not installed here: pip install 'tuneval[{extra}]'\n"
        f"(in a checkout of tuneval: pip install -c constraints.txt -e '.[{extra}]')."
    )
    raise BackendUnavailable(f"{text} {WITHOUT_MODELS}" if extra == "models" else text)


def _is_here(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False

"""The lm-evaluation-harness that is installed: its version and the tasks that it has."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tuneval import registry
from tuneval.errors import ConfigError, DataError

INCLUDE_PATH = "LM_EVAL_INCLUDE_PATH"


def find_tasks(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """lm-eval's task objects by name, built once."""
    unknown = sorted(set(options) - {"include_path"})
    if unknown:
        raise ConfigError(
            f"lm_eval:{name}, options: {registry.unknown(unknown[0], ['include_path'])}."
        )
    paths = _include_paths(options)
    with quiet():
        manager = _manager(paths, has_catalogue=False) if paths or is_path(name) else None
        if manager is None or not (is_path(name) or name in manager.all_tasks):
            manager = _manager(paths, has_catalogue=True)
        if not is_path(name) and name not in manager.all_tasks:
            raise ConfigError(
                f"lm_eval: {registry.unknown(name, manager.all_tasks)[:300]}.\n"
                "`lm_eval ls tasks` lists them; a YAML file of your own is lm_eval:PATH, or its name "
                f"with its folder in {INCLUDE_PATH}."
            )
        try:
            loaded: dict[str, Any] = manager.load([name])["tasks"]
        except Exception as error:  # data sets and YAML of others fail in any way
            raise DataError(unavailable(name, error)) from error
    return loaded


@functools.cache
def _manager(paths: tuple[str, ...], *, has_catalogue: bool) -> Any:
    """lm-eval's index of tasks; that of its whole catalogue takes seconds to read."""
    try:
        manager_of = import_module("lm_eval.tasks").TaskManager
    except ImportError as error:
        raise ConfigError(
            "--benchmark lm_eval:... needs lm-evaluation-harness: pip install "
            f"'tuneval[lm-eval]'.\n({error})"
        ) from None
    return manager_of(include_path=list(paths) or None, include_defaults=has_catalogue)


def _include_paths(options: Mapping[str, Any]) -> tuple[str, ...]:
    given = options.get("include_path") or ()
    paths = [given] if isinstance(given, str) else [str(one) for one in given]
    paths += [one for one in os.environ.get(INCLUDE_PATH, "").split(os.pathsep) if one]
    for one in paths:
        if not Path(one).is_dir():
            raise ConfigError(f'lm_eval: the folder of tasks "{one}" does not exist.')
    return tuple(paths)


def is_path(name: str) -> bool:
    """Is the name that of a YAML file?"""
    return name.endswith((".yaml", ".yml")) and Path(name).is_file()


def unavailable(name: str, error: Exception) -> str:
    """The message for a task that lm-eval could not build."""
    reason = (str(error).splitlines() or [""])[0][:300]
    return (
        f"lm_eval:{name} cannot be built: {type(error).__name__}: {reason}\n"
        "Its data comes from the hub through the package datasets: fetch it once with a network, or "
        "point the task's dataset_path at files (docs/lm_eval.md)."
    )


def installed_version() -> str:
    """Version of the package, "none" where it is not there."""
    try:
        return version("lm_eval")
    except PackageNotFoundError:
        return "none"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep lm-eval's progress bars and advice off the terminal; its errors come as exceptions."""
    log = logging.getLogger("lm_eval")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        log.setLevel(level)

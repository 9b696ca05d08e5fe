"""Tensors of the base that an adapter has trained itself (biases): the base's own are kept and put back.

PEFT writes what the adapter holds over what the base had, and switching the adapter off brings nothing
back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

_PREFIX = "base_model.model."


class Lent:
    """Parameters that two owners use in turn; the objects stay, their storage is exchanged."""

    def __init__(self, parameters: Iterable[Any]) -> None:
        self._parameters = list(parameters)
        self._base: list[Tensor] = [parameter.data for parameter in self._parameters]
        for parameter in self._parameters:
            parameter.data = parameter.data.clone()
        self._adapter: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._parameters)

    def keep(self) -> None:
        """What stands in the parameters now is the adapter's."""
        self._adapter = [parameter.data for parameter in self._parameters]
        self.give_back()

    def lend(self) -> None:
        """Let the adapter's stand there."""
        _set(self._parameters, self._adapter)

    def give_back(self) -> None:
        """Let the base's own stand there again, bit for bit."""
        _set(self._parameters, self._base)


def _set(parameters: Iterable[Any], values: Iterable[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=False):
        parameter.data = value


def trained_of_base(
    names: Iterable[str], parameters: Mapping[str, Any], apart: Iterable[str]
) -> list[Any]:
    """The base's parameters that an adapter's file names, but for those in modules that PEFT copies.

    Parameters
    ----------
    names : iterable of str
        Of the adapter's tensors, as stored.
    parameters : mapping
        The base's, by their names before PEFT came.
    apart : iterable of str
        Modules that the adapter keeps as copies of its own.
    """
    copied = tuple(f"{name}." for name in apart)
    plain = (name.removeprefix(_PREFIX).replace(".base_layer.", ".") for name in names)
    return [parameters[name] for name in plain if name in parameters and not name.startswith(copied)]

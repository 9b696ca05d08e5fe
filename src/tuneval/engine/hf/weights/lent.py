"""What PEFT takes of the base itself, kept so that it can be put back.

Biases that an adapter has trained are written over the base's; settings, hooks and attributes are left
behind on its modules when the adapter has long been taken off. Not for: the modules themselves
(``attachment.py``).
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


class Before:
    """Settings, hooks and attributes of a model before PEFT came."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._settings = dict(vars(model.config))
        self._attributes = set(vars(model))
        self._hooks = [
            (module, {name: dict(hooks) for name, hooks in _hooks_of(module).items()})
            for module in model.modules()
        ]

    def restore(self) -> None:
        """Make the model in this respect what it was."""
        vars(self._model.config).clear()
        vars(self._model.config).update(self._settings)
        for name in set(vars(self._model)) - self._attributes:
            delattr(self._model, name)
        for module, before in self._hooks:
            for name, hooks in _hooks_of(module).items():
                if dict(hooks) != before[name]:
                    hooks.clear()
                    hooks.update(before[name])


def _hooks_of(module: Any) -> dict[str, Any]:
    """The hooks that run with a module's forward pass, by the attribute that holds them."""
    return {
        name: hooks
        for name, hooks in vars(module).items()
        if name.startswith("_forward") and "hooks" in name and isinstance(hooks, dict)
    }


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
    return [
        parameters[name] for name in plain if name in parameters and not name.startswith(copied)
    ]

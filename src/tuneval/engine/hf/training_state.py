"""What an evaluation in the middle of a training must leave exactly as it was.

Not for: adapters that the backend switches, which it gives back by itself (``weights/attachment.py``).
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


@contextlib.contextmanager
def kept(model: Any) -> Iterator[None]:
    """Put back train mode of every module, which parameters are trained, gradients, every random
    generator and the number of threads, whatever happens inside."""
    modes = [(module, module.training) for module in model.modules()]
    parameters = [(one, one.requires_grad, one.grad) for one in model.parameters()]
    generators = _Generators()
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        for module, is_training in modes:
            module.training = is_training
        for parameter, is_trained, gradient in parameters:
            parameter.requires_grad_(is_trained)
            parameter.grad = gradient
        generators.put_back()


class _Generators:
    """The state of every random generator that a training may draw from."""

    def __init__(self) -> None:
        self.python = random.getstate()
        # A training draws from numpy's old global generator, too.
        self.numpy = np.random.get_state()
        self.torch = torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        has_mps = torch.backends.mps.is_available()
        self.mps = torch.mps.get_rng_state() if has_mps else None

    def put_back(self) -> None:
        random.setstate(self.python)
        np.random.set_state(self.numpy)
        torch.set_rng_state(self.torch)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)
        if self.mps is not None:
            torch.mps.set_rng_state(self.mps)

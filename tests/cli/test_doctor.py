"""What doctor says of memory before anything is loaded."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tuneval.cli.doctor import _about_weights


def folder(n: int, dtype: str | None, n_adapter: int = 0) -> SimpleNamespace:
    return SimpleNamespace(
        n_parameters=n,
        dtype=dtype,
        has_model=n > 0,
        has_adapter=n_adapter > 0,
        n_adapter_parameters=n_adapter,
    )


BASE = folder(2**29, "bfloat16")


@pytest.mark.parametrize(
    ("wanted", "folders", "said"),
    [
        (
            "auto",
            [BASE],
            ("1.0 GiB of weights at a time as stored (bfloat16", "2.0 GiB in float32"),
        ),
        ("auto", [folder(2**29, "float32")], ("2.0 GiB of weights at a time (float32)",)),
        ("bfloat16", [BASE], ("1.0 GiB of weights at a time (bfloat16)",)),
        ("float32", [BASE], ("2.0 GiB of weights at a time (float32)",)),
        pytest.param(
            "auto",
            [BASE, folder(2**29, "float32")],
            ("2.0 GiB of weights at a time (float32)",),
            id="stored in two ways: one dtype for all",
        ),
        pytest.param(
            "auto",
            [BASE, folder(0, "float32", n_adapter=2**26)],
            ("1.2 GiB of weights at a time as stored", "2.2 GiB in float32"),
            id="an adapter decides no dtype and comes on top",
        ),
    ],
)
def test_memory(wanted: str, folders: list[SimpleNamespace], said: tuple[str, ...]) -> None:
    plan = SimpleNamespace(folders=dict(enumerate(folders)))
    for words in said:
        assert words in _about_weights(wanted, plan)

"""Addresses of servers: what is used of them, and what is written."""

from __future__ import annotations

import pytest

from tuneval.engine.address import chosen, hidden, secrets_of, written

SECRET = "s3cret-Pa55word"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://host/v1", "http://host/v1"),
        ("http://host:80/v1/", "http://host:80/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        (f"http://me:{SECRET}@host/v1", "http://host/v1"),
        (f"http://{SECRET}@host/v1", "http://host/v1"),
        (f"http://me:a@{SECRET}@[::1]:8000/v1", "http://[::1]:8000/v1"),
        (f"http://host/v1?api-key={SECRET}", "http://host/v1"),
        (f"http://host/v1?api-version=2&sig={SECRET}#{SECRET}", "http://host/v1?api-version=2"),
        (f"me:{SECRET}@host/v1", "host/v1"),
        pytest.param(f"http://me:{SECRET}/x@host/v1", "http://***", id="an unquoted slash"),
        pytest.param(f"http://me:{SECRET}#x@host/v1", "http://***", id="an unquoted #"),
        pytest.param(f"http://me:{SECRET}?x@host/v1", "http://***", id="an unquoted ?"),
    ],
)
def test_what_is_written_holds_no_secret(url: str, expected: str) -> None:
    assert written(url) == expected
    assert written(expected) == expected


@pytest.mark.parametrize(
    ("given", "told", "expected"),
    [
        (None, None, None),
        (None, "http://a:b@host/v1", "http://a:b@host/v1"),
        ("http://host/v1", None, "http://host/v1"),
        ("http://host/v1", "http://a:b@host/v1/", "http://a:b@host/v1/"),
        ("http://other/v1", "http://a:b@host/v1", "http://other/v1"),
        ("http://c:d@host/v1", "http://a:b@host/v1", "http://c:d@host/v1"),
    ],
)
def test_the_environment_gives_secrets_to_the_same_address_alone(
    given: str | None, told: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    if told:
        monkeypatch.setenv("OPENAI_BASE_URL", told)
    assert chosen(given) == expected


def test_secrets_are_known_as_they_stand_and_decoded() -> None:
    assert set(secrets_of("http://me:a%40b@host/v1?api-version=2&key=c%2Fd")) == {
        "a%40b", "a@b", "a%2540b", "c/d", "c%2Fd",
        "bWU6YUBi",
    }  # fmt: skip
    assert secrets_of("http://host/v1") == ()


def test_words_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("HF_TOKEN", "none")
    said = f'no option "--url=https://me:{SECRET}2@host/v1", key {SECRET}, none at http://a/b?c'
    assert hidden(said) == 'no option "--url=https://host/v1", key ***, none at http://a/b?c'

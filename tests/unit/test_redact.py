"""Secrets in what is stored and told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redact import MASK, SHORTEST_SECRET, Redactor

SECRET = "s3cr3t-token"


def test_a_secret_is_masked_wherever_it_stands() -> None:
    told = {
        "text": f"before {SECRET} after, and {SECRET}",
        "nested": {"deep": [{"er": (SECRET, "x")}]},
        f"key {SECRET}": 1,
        "whole": SECRET,
    }
    assert Redactor([SECRET])(told) == {
        "text": "before *** after, and ***",
        "nested": {"deep": [{"er": ["***", "x"]}]},
        "key ***": 1,
        "whole": "***",
    }


def test_the_given_object_is_not_changed() -> None:
    told = {"a": [SECRET]}
    Redactor([SECRET])(told)
    assert told == {"a": [SECRET]}


def test_what_is_no_text_stays_as_it_is() -> None:
    told: dict[str, object] = {"a": 1, "b": 1.5, "c": None, "d": True, "e": []}
    assert Redactor([SECRET])(told) == told


def test_a_secret_that_contains_another_leaves_no_tail() -> None:
    assert Redactor(["abcdef", "abcdefghij"]).text("abcdefghij abcdef") == "*** ***"


@pytest.mark.parametrize("value", ["", "a", "12345"])
def test_a_short_value_is_an_ordinary_word_and_masks_nothing(value: str) -> None:
    assert len(value) < SHORTEST_SECRET
    text = "a 12345 b"
    assert Redactor([value]).text(text) == text


def test_without_secrets_nothing_changes() -> None:
    assert Redactor([])({"a": "b"}) == {"a": "b"}


def test_a_secret_with_quotes_newlines_and_accents_is_masked_before_it_is_written_as_json() -> None:
    secret = 'pä"ss\\wörd\n1'
    told = Redactor([secret])({"a": f"<{secret}>"})
    assert json.dumps(told) == '{"a": "<***>"}'


def test_a_secret_of_digits_is_masked_also_when_it_comes_back_as_a_number() -> None:
    found = Redactor(["123456789"])({"chat_id": 123456789, "list": [123456789, 5, 1.5, True]})
    assert found == {"chat_id": "***", "list": ["***", 5, 1.5, True]}


texts = st.text(alphabet="abs3cr3t-xyz ", max_size=40)
told = st.recursive(
    texts | st.none() | st.booleans(), lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=12
)


@given(st.dictionaries(texts, told), st.lists(st.text(alphabet="s3cr3t-", min_size=6, max_size=9), max_size=3))
def test_no_secret_survives_in_any_object(value: dict[str, object], secrets: list[str]) -> None:
    text = json.dumps(Redactor(secrets)(value))
    for secret in secrets:
        # A mask between two halves of a secret may not join them either.
        assert secret not in text.replace(MASK, "\0")

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import strict_json
from core.strict_json import BadJson, parse


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b'{"a": 1,\n "b": x}', r"line 2, column 7, near .*x"),
        (b'{"a": 1} {}', "Extra data at line 1, column 10"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b'{"a": NaN}', "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[-Infinity]", "-Infinity"),
        (b"[1e999]", "out of range"),
        (b"[" + b"9" * 310 + b"]", "310 digits"),
        (b"[" + b"9" * 100_000 + b"]", "100000 digits"),
        (b"[0." + b"9" * 308 + b"]", "310 digits"),
        (b"[" * 65 + b"]" * 65, "nested deeper than 64"),
        (b"[" * 500_000, "nested deeper than 64"),
        (b'{"a":' * 100_000, "nested deeper than 64"),
        ("{'a': 1}".encode("utf-16"), "not UTF-8"),
    ],
)
def test_unacceptable_json_is_reported_with_its_position(data: bytes, wrong: str) -> None:
    with pytest.raises(BadJson, match=wrong):
        parse(data)


def test_a_duplicate_key_is_refused_only_on_request() -> None:
    assert parse(b'{"a": 1, "a": 2}') == {"a": 2}
    with pytest.raises(BadJson, match="'a' occurs twice"):
        parse(b'{"a": 1, "a": 2}', unique_keys=True)


def test_sixty_four_levels_and_309_digits_are_still_fine() -> None:
    parse(b"[" * 64 + b"]" * 64)
    assert parse(b"9" * 309) == int("9" * 309)


def test_a_byte_order_mark_is_accepted_before_json() -> None:
    assert parse(b"\xef\xbb\xbf{}") == {}


def test_lone_surrogates_and_nuls_become_replacement_characters_in_keys_and_values() -> None:
    found = parse(rb'{"\ud800": ["a\u0000b", "\ud83d\ude00"]}')
    assert found == {"\ufffd": ["a\ufffdb", "😀"]}


def test_a_lone_surrogate_can_be_dumped_and_nan_can_not() -> None:
    assert json.loads(strict_json.dump({"a": "\ud800"})) == {"a": "\ud800"}
    assert strict_json.dump({"a": "ñ"}) == '{"a": "ñ"}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        strict_json.dump(float("nan"))


@pytest.mark.parametrize(
    ("data", "kind", "place"),
    [
        (b'["\xff"]', "encoding", 2),
        (b'\xef\xbb\xbf["\xff"]', "encoding", 5),
        (b"[1,]", "syntax", 3),
        (b'["NaN", NaN]', "number", 8),
        (b"[1, 1e999]", "number", 4),
        (b'["[[", ' + b"[" * 64 + b"]" * 65, "depth", 70),
    ],
)
def test_a_fault_has_a_kind_and_a_position(data: bytes, kind: str, place: int) -> None:
    with pytest.raises(BadJson) as caught:
        parse(data)
    # For a superfluous comma, Python 3.13 reports the comma, earlier versions the character after it.
    assert (caught.value.kind, abs(caught.value.position - place) <= (kind == "syntax")) == (kind, True)


#: The format characters that are seen: the marks of Arabic, Syriac and Kaithi, and hieroglyphs.
_SEEN = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13456)}
_HIDDEN = [
    chr(code)
    for code in range(sys.maxunicode + 1)
    if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp") and code not in _SEEN
]


def test_what_a_terminal_obeys_or_does_not_show_is_escaped_and_keeps_its_value() -> None:
    value = {char: f"x{char}y" for char in _HIDDEN}
    text = strict_json.escape_hidden(strict_json.encode(value))
    assert [char for char in _HIDDEN if char in text] == []
    assert json.loads(text) == value
    assert "\\u009b" in text
    plain = {"a": "Resumen ñ — 要約 🎉 \u0600"}
    assert strict_json.escape_hidden(strict_json.encode(plain)) == strict_json.encode(plain)


def test_text_for_people_shows_that_something_was_hidden() -> None:
    joiners = "\u200c\u200d"
    hidden = [char for char in _HIDDEN if char not in f"\t\n{joiners}"]
    assert all(strict_json.visible(f"x{char}y") == "x\ufffdy" for char in hidden)
    text = f"a\tb\n👩{joiners}💻 ñ"
    assert strict_json.visible(text) == text


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_parse_raises_nothing_but_bad_json_and_what_it_returns_can_be_dumped(data: bytes) -> None:
    try:
        value = parse(data)
    except BadJson:
        return
    strict_json.dump(value).decode("utf-8")


@given(st.text())
def test_plain_text_is_always_utf8_without_nuls(text: str) -> None:
    assert b"\0" not in strict_json.plain_text(text).encode("utf-8")

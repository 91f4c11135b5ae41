"""Secrets in everything that is stored or sent."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from typing import Any
from unicodedata import normalize
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.redact import MASK, SHORTEST_SECRET, Redactor, looks_secret, secrets_of
from core.strict_json import plain_text

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


def test_values_that_are_not_text_stay_as_they_are() -> None:
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


LONG = "sk-ant/0123+wörd with spaces"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {LONG}.",
        "https://host/?key=sk-ant%2F0123%2Bw%C3%B6rd%20with%20spaces&a=b",
        "https://host/?key=sk-ant%2f0123%2bw%c3%b6rd+with+spaces&a=b",
        f"Traceback: ValueError({LONG!r})",
        json.dumps({"key": LONG}),
        json.dumps({"key": LONG}).replace("/", "\\/"),
        base64.b64encode(f"u:{LONG}".encode()).decode(),
        base64.b64encode(f"name:{LONG}".encode()).decode(),
        base64.urlsafe_b64encode(f"ab:{LONG}".encode()).decode(),
        LONG.encode().decode("latin-1").encode("latin-1").decode("utf-8", "replace"),
    ],
)
def test_a_secret_is_masked_however_it_is_written(text: str) -> None:
    masked = Redactor([LONG]).text(text)
    assert MASK in masked
    assert "0123" not in masked.replace("***", "\0")
    # In base64 a digit may hold a bit of each neighbour; at most those two are left.
    digits = base64.b64encode(LONG.encode()).decode()
    assert digits[4:12] not in masked


TOKEN = "sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


@pytest.mark.parametrize("wrap", [64, 76])
@pytest.mark.parametrize("before", ["", "u:", "name:"])
def test_base64_that_was_broken_into_lines_is_masked(wrap: int, before: str) -> None:
    digits = base64.b64encode(f"{before}{TOKEN}\n".encode()).decode()
    text = "\n".join(digits[place : place + wrap] for place in range(0, len(digits), wrap))
    masked = Redactor([TOKEN]).text(f"the key:\n{text}\nbye\n")
    assert digits[8:16] not in masked
    assert digits[-24:-16] not in masked
    assert masked.startswith("the key:\n")
    assert masked.endswith("bye\n")


_ODD = "Zx9-Q\u00e9&<w+p\U0001f600'\"\\K/x y$z7"


def _escaping(form: str, chars: str) -> str:
    """The text in which these characters are escapes of JSON, in units of UTF-16."""
    units = (char.encode("utf-16-be").hex() if char in chars else "" for char in _ODD)
    cased = ((unit.upper() if form == "upper" else unit) for unit in units)
    return "".join(
        "".join(f"\\u{unit[at : at + 4]}" for at in range(0, len(unit), 4))
        or {"\\": "\\\\", '"': '\\"'}.get(char, char)
        for char, unit in zip(_ODD, cased, strict=True)
    )


@pytest.mark.parametrize("form", ["lower", "upper"])
@pytest.mark.parametrize("chars", ["é", "&<>", "+'&<>\"é\U0001f600", _ODD, "\\", "Z7"])
@pytest.mark.parametrize("levels", [0, 1, 2])
def test_a_secret_is_masked_whichever_of_its_characters_a_writer_of_json_escapes(
    form: str, chars: str, levels: int
) -> None:
    text = f'<{_escaping(form, chars)}> and C:\\\\new "quoted"'
    for _ in range(levels):
        text = json.dumps(text)[1:-1]
    masked = Redactor([_ODD]).text(text)
    start = text.index("<") + 1
    assert masked == f"{text[:start]}{MASK}{text[text.index('> and') :]}"


def test_a_secret_that_a_shell_has_escaped_is_masked() -> None:
    secret = "pa&ss w(or)d$9"
    assert Redactor([secret]).text("x " + re.sub(r"(\W)", r"\\\1", secret) + " y") == "x *** y"
    assert Redactor([secret]).text(r"x pa\x26ss w(or)d$9 y") == "x *** y"


def test_a_text_with_backslashes_and_no_secret_stays_as_it_is() -> None:
    text = r"C:\new\table \u00e9\ud83d\ude00 \\\\ \;" + "\n" + r"\x41"
    assert Redactor([_ODD]).text(text) == text


@pytest.mark.parametrize("quote", ["ab\"cd\\ef'gh", "it's a secret"])
def test_a_secret_with_quotes_is_masked_in_json_within_json_and_as_shells_write_it(quote: str) -> None:
    mask = Redactor([quote]).text
    assert mask(json.dumps({"a": json.dumps({"q": quote})})) == json.dumps({"a": json.dumps({"q": MASK})})
    assert mask("echo " + shlex.quote(quote)) == "echo '***'"
    assert mask("echo '" + quote.replace("'", "'\\''") + "'") == "echo '***'"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("sk-ant/0123+wö (2669)", "*** (2669)"),
        ("cut here: sk-ant/0123", "cut here: ***"),
        ("cut here: sk-ant/0123…", "cut here: ***…"),
        ("near 'with spaces'", "near '***'"),
        ("with spaces, and so on", "***, and so on"),
        ("a word with spaces, and so on", "a word with spaces, and so on"),
        ("sk-ant/0 is how they begin", "sk-ant/0 is how they begin"),
    ],
)
def test_a_piece_of_a_secret_is_masked_where_a_text_was_cut_off(text: str, masked: str) -> None:
    assert Redactor([LONG]).text(text) == masked


class CountedText(str):
    """Counts the searched characters and the windows that were cut out."""

    __slots__ = ("work",)

    work: int

    def __new__(cls, text: str) -> CountedText:
        made = super().__new__(cls, text)
        made.work = 0
        return made

    def find(self, *args: Any) -> int:
        self.work += len(self)
        return super().find(*args)

    def __contains__(self, part: object) -> bool:
        self.work += len(self)
        return super().__contains__(part)  # type: ignore[operator]

    def __getitem__(self, key: Any) -> str:
        self.work += 1
        return super().__getitem__(key)


def tokens(count: int) -> list[str]:
    return [base64.b64encode(hashlib.sha256(str(number).encode()).digest()).decode() for number in range(count)]


@pytest.mark.parametrize("size", [8, 80, 64 * 1024])
def test_the_cost_of_a_text_does_not_grow_with_the_number_of_secrets(size: int) -> None:
    work = []
    for count in (10, 100, 1_000):
        text = CountedText("0123456789 and nothing of a secret here: " * size)
        text = CountedText(text[:size])
        assert Redactor(tokens(count)).text(text) == text
        work.append(text.work)
    assert max(work) <= 110 * size, work


@pytest.mark.parametrize("count", [1, 10, 1_000])
def test_a_secret_in_a_long_text_is_masked_whatever_the_number_of_secrets(count: int) -> None:
    around = "nothing of a secret here, " * 2_000
    secrets = tokens(count)
    wrapped = base64.b64encode(secrets[-1].encode()).decode()
    wrapped = f"{wrapped[:20]}\n{wrapped[20:]}"
    text = f"{around}<{secrets[-1]}>{around}<{wrapped}>{around}{secrets[-1][:12]}"
    masked = Redactor(secrets).text(text)
    assert masked.startswith(f"{around}<***>{around}<***")
    assert masked.endswith(f">{around}***")
    assert secrets[-1][:8] not in masked


ACCENTED = "contraseña-véritable"
_ENCODINGS = ["utf-8", "latin-1", "cp1252", "iso-8859-15", "cp437", "cp850", "utf-16-le", "utf-16-be", "utf-16"]


@pytest.mark.parametrize("secret", [ACCENTED, "plain-t0ken-of-ascii", "ñandú7"])
@pytest.mark.parametrize("encoding", _ENCODINGS)
def test_a_secret_is_masked_in_each_encoding_that_a_program_may_print(secret: str, encoding: str) -> None:
    mask = Redactor([secret])
    raw = f"before {secret} after".encode(encoding)
    for text in (
        raw.decode("utf-8", "replace"),
        plain_text(raw.decode("utf-8", "replace")),
        raw.decode("utf-8", "surrogateescape"),
        repr(raw),
        quote(raw),
        json.dumps(secret),
        # Of fewer than eight bytes too little is left in base64.
        *(base64.b64encode(raw[start:]).decode() for start in (0, 2) if len(secret) >= 8),
    ):
        masked = mask.text(text)
        assert masked.count(MASK) == 1, (text, masked)
        assert "ndú" not in masked
        assert "contrase" not in masked.replace("\0", "").replace("\ufffd", "")


def test_utf_8_that_was_read_as_latin_1_is_masked() -> None:
    for encoding in ("latin-1", "cp1252"):
        assert Redactor([ACCENTED]).text(ACCENTED.encode().decode(encoding)) == MASK


def test_accents_of_two_characters_are_masked() -> None:
    for form in ("NFC", "NFD"):
        for stored in ("NFC", "NFD"):
            assert Redactor([normalize(stored, ACCENTED)]).text(normalize(form, ACCENTED)) == MASK


@pytest.mark.parametrize("encoding", _ENCODINGS)
def test_pieces_of_a_secret_that_two_reads_have_split_are_masked(encoding: str) -> None:
    mask, raw = Redactor([ACCENTED]), ACCENTED.encode(encoding)
    for cut in range(len(raw)):
        for piece in (raw[:cut], raw[cut:]):
            masked = mask.text(plain_text(piece.decode("utf-8", "replace")))
            readable = masked.replace("\ufffd", "").replace(MASK, "")
            assert len(readable) <= 8, (cut, piece, masked)


def test_a_secret_of_which_nothing_can_be_read_masks_no_other_text() -> None:
    assert Redactor(["пароль-"]).text("\ufffd" * 12) == "\ufffd" * 12


def test_secrets_that_overlap_leave_nothing_of_either() -> None:
    assert Redactor(["abcdefgh", "efghijkl"]).text("<abcdefghijkl>") == "<***>"


def test_each_line_of_a_private_key_is_masked() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END KEY-----\n"
    assert Redactor([key]).text("got AQEFAASCBKcwggSjAgEAAoIB, why?") == "got ***, why?"


def test_a_key_of_ours_is_never_masked() -> None:
    assert Redactor(["result"])({"result": "result", "a result": 1}) == {"result": "***", "a ***": 1}


@pytest.mark.parametrize(
    "name",
    [
        "API_KEY",
        "GITHUB_TOKEN",
        "github_token",
        "AWS_SECRET_ACCESS_KEY",
        "PGPASSWORD",
        "accessToken",
        "OPENAI_APIKEY",
        "DB_PWD",
        "AUTH_2",
        "SSH-PAT",
        "SMTP_PASS",
        "apiKey",
        "TOKENS",
        "client.secret",
    ],
)
def test_a_name_that_looks_like_a_secrets(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name", ["KEYBOARD", "AUTHOR", "PATH", "HOME", "MONKEY", "COMPASS", "PWD", "OLDPWD", "TOKENIZER"]
)
def test_a_name_that_does_not_look_like_a_secrets(name: str) -> None:
    assert not looks_secret(name)


@pytest.mark.parametrize(
    "value", ["/usr/share/keys", "~/.ssh/id", "./key.pem", "12345.67", "short", "disabled", "localhost", ""]
)
def test_values_under_such_a_name_that_are_not_secret(value: str) -> None:
    assert list(secrets_of({"API_KEY": value}, [])) == []


@pytest.mark.parametrize("value", ["/4AAQSkZJRgABAQ+Ag==", "hunter2hunter2", "/home/x+y="])
def test_what_begins_like_a_path_and_may_be_a_secret(value: str) -> None:
    assert list(secrets_of({"API_KEY": value}, [])) == [value]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("postgres://ana:hun%2Fter22@db/x", {"hun%2Fter22", "hun/ter22"}),
        ("amqp://guest:guestguest@mq", {"guestguest"}),
        ("amqp://guestguest:guestguest@mq", set()),
        ("https://host/a@b", set()),
        ("https://[broken@x", set()),
    ],
)
def test_the_password_of_an_address_is_a_secret(url: str, found: set[str]) -> None:
    assert set(secrets_of({"DATABASE_URL": url}, [])) == found


def test_a_variable_that_is_named_is_a_secret_whatever_it_holds() -> None:
    assert list(secrets_of({"A": "/etc/passwd", "B": "x"}, ["A", "C"])) == ["/etc/passwd"]


texts = st.text(alphabet="abs3cr3t-xyz ", max_size=40)
told = st.recursive(
    texts | st.none() | st.booleans(), lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=12
)


@pytest.mark.slow
@given(st.dictionaries(texts, told), st.lists(st.text(alphabet="s3cr3t-", min_size=6, max_size=9), max_size=3))
def test_no_secret_survives_in_any_object(value: dict[str, object], secrets: list[str]) -> None:
    text = json.dumps(Redactor(secrets)(value))
    for secret in secrets:
        # A mask between two halves of a secret may not join them either.
        assert secret not in text.replace(MASK, "\0")

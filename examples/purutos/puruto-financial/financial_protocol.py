"""An invocation as a target sees it: one InvocationRequest on stdin, one InvocationResult on stdout.

Source: docs/contract.md "Invocation" in puruto-cron. The example siblings carry this file each under a name of its own,
because siblings are separate repositories; a test keeps the copies equal.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

MAX_REQUEST_BYTES = 4 * 1024 * 1024

_SPANISH = """
al con copia copias cual cuando cuánto cuántos como cómo dame de del dime e el en es esta este están está estos fue ha
han hasta haz hay la las lee lista lo los mes mi mis muestra o para pero por porque que qué registro respaldo resumen
revisa se semana si sin sobre su sus un una unas unos y
"""
_ENGLISH = """
about all an and any are at back backup by can check did do does for from give has have how if in into is it last list
make month my of on or our please read show that the their them there these this those to up was week were what when
which who with you your
"""
SPANISH_WORDS = frozenset(_SPANISH.split())
ENGLISH_WORDS = frozenset(_ENGLISH.split())
ACCENTED = frozenset("áéíóúü")
MARKS = frozenset("ñ¿¡")


class Refused(Exception):
    """A request that ends with status error. `details` must be JSON-serialisable."""

    def __init__(self, code: str, message: str, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = dict(details or {})

    def as_dict(self) -> dict[str, object]:
        """`{"code", "message", "details"}`."""
        return {"code": self.code, "message": self.message, "details": self.details}


@dataclass(frozen=True)
class Request:
    """The keys of an InvocationRequest that a target needs; all others are tolerated.

    `requested_at` is "" when the caller sent none.
    """

    request_id: str
    correlation_id: str
    action: str
    prompt: str
    requested_at: str
    payload: Mapping[str, object]


def serve(handle: Callable[[Request], Mapping[str, object]], monotonic: Callable[[], float]) -> int:
    """Answer the request on file descriptor 0 on descriptor 1; the exit code says whether the answer got out.

    `handle` returns the `result` object or raises Refused. `monotonic` gives seconds, for `duration_ms`.
    """
    started = monotonic()
    document: dict[str, object] = {}
    try:
        document = decode(read_stdin())
        outcome: dict[str, object] = {"status": "ok", "result": dict(handle(request_from(document)))}
    except Refused as refusal:
        outcome = {"status": "error", "error": refusal.as_dict()}
    except OSError as fault:
        failure = Refused("IO_ERROR", f"{fault.filename or 'a file'}: {fault.strerror or fault}")
        outcome = {"status": "error", "error": failure.as_dict()}
    answer = {
        "request_id": _text_or_empty(document.get("request_id")),
        "correlation_id": _text_or_empty(document.get("correlation_id")),
        "duration_ms": int((monotonic() - started) * 1000),
        **outcome,
    }
    return _print(answer)


def read_stdin() -> bytes:
    """All of descriptor 0, at most MAX_REQUEST_BYTES; raises Refused when there is more or nothing can be read."""
    try:
        with open(0, "rb", closefd=False) as stream:
            if stream.isatty():
                print("waiting for an InvocationRequest (JSON) on stdin; end it with Ctrl-D", file=sys.stderr)
            raw = stream.read(MAX_REQUEST_BYTES + 1)
    except OSError as fault:
        raise Refused("INVALID_REQUEST", f"stdin can't be read: {fault.strerror}") from None
    if len(raw) > MAX_REQUEST_BYTES:
        raise Refused("INVALID_REQUEST", f"stdin holds more than {MAX_REQUEST_BYTES} bytes")
    return raw


def decode(raw: bytes) -> dict[str, object]:
    """The JSON object in `raw`; raises Refused INVALID_REQUEST for anything else."""
    try:
        document = json.loads(raw.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError as fault:
        raise Refused("INVALID_REQUEST", f"stdin is not UTF-8 at byte {fault.start}") from None
    except json.JSONDecodeError as fault:
        where = {"line": fault.lineno, "column": fault.colno}
        message = f"stdin is not JSON: {fault.msg} at line {fault.lineno}, column {fault.colno}"
        raise Refused("INVALID_REQUEST", message, where) from None
    except (ValueError, RecursionError) as fault:
        raise Refused("INVALID_REQUEST", f"stdin is not usable JSON: {fault}") from None
    if not isinstance(document, dict):
        raise Refused("INVALID_REQUEST", "the request must be a JSON object")
    return document


def request_from(document: Mapping[str, object]) -> Request:
    """The request in `document`; raises Refused INVALID_REQUEST that names every wrong key."""
    required = ("request_id", "correlation_id", "action", "prompt")
    problems = [f"{key} must be a string" for key in required if not isinstance(document.get(key), str)]
    problems += [f"{key} is empty" for key in required[:3] if document.get(key) == ""]
    payload = document.get("payload")
    if payload is not None and not isinstance(payload, dict):
        problems.append("payload must be an object")
    if problems:
        raise Refused("INVALID_REQUEST", "; ".join(problems), {"problems": problems})
    return Request(
        request_id=str(document["request_id"]),
        correlation_id=str(document["correlation_id"]),
        action=str(document["action"]),
        prompt=str(document["prompt"]),
        requested_at=_text_or_empty(document.get("requested_at")),
        payload=payload if isinstance(payload, dict) else {},
    )


def language_of(text: str) -> str:
    """ "es" or "en": which language's everyday words are more frequent in `text`, Spanish letters counting too.

    It knows these two only: Portuguese or French will often read as "es". A tie, and an empty text, is "en".
    """
    text = unicodedata.normalize("NFC", text).casefold()
    words = re.findall(r"[^\W\d_]+", text)
    spanish = sum(word in SPANISH_WORDS for word in words)
    spanish += sum(not ACCENTED.isdisjoint(word) for word in words)
    spanish += 2 * sum(mark in text for mark in MARKS)
    english = sum(word in ENGLISH_WORDS for word in words)
    return "es" if spanish > english else "en"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _text_or_empty(value: object) -> str:
    return value if isinstance(value, str) else ""


def _print(answer: Mapping[str, object]) -> int:
    """Write one line; 0, or 1 when nobody can read it. Lone surrogates can't be UTF-8: such an answer is escaped."""
    try:
        line = json.dumps(answer, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        line = json.dumps(answer, allow_nan=False).encode()
    try:
        with open(1, "wb", closefd=False) as stream:
            stream.write(line + b"\n")
    except OSError as fault:
        print(f"the answer can't be printed: {fault.strerror}", file=sys.stderr)
        return 1
    return 0

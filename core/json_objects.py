"""JSON objects that several packages pass on, as TypedDicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict


class ErrorObject(TypedDict):
    """An error in an answer, an event or a row: a stable code, a sentence for people, and details.

    `details.hint`, if there is one, says what to do. Source: docs/contract.md "Commands".
    """

    code: str
    message: str
    details: Mapping[str, object]


class RequestObject(TypedDict):
    """An InvocationRequest. Source: docs/contract.md "Invocation"."""

    request_id: str
    correlation_id: str
    caller: str
    target: str
    action: str
    prompt: str
    timeout_sec: int
    hop: int
    requested_at: str
    payload: Mapping[str, object]


class ResultObject(TypedDict):
    """An InvocationResult: it has either `result` or `error`. Source: docs/contract.md "Invocation"."""

    request_id: str
    correlation_id: str
    status: str
    duration_ms: int
    result: NotRequired[Mapping[str, object]]
    error: NotRequired[ErrorObject]

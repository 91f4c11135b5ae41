"""JSON objects that several packages pass on, as TypedDicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict


class ErrorObject(TypedDict):
    """An error in an answer, an event or a row: a stable code, a sentence for people, and details.

    `details.hint`, if there is one, says what to do. Source: docs/contract.md "Commands".
    """

    code: str
    message: str
    details: Mapping[str, object]

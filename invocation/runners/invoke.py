"""`invoke`: runs the target's executable file `invoke`, which reads an InvocationRequest and prints its result."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from core import strict_json
from core.boundary import Failure
from core.invocation import Answer, Invocation
from core.invocation_errors import InvalidResponse, IpcError, RunnerNotFound
from core.shell import quoted
from invocation.runners.base import (
    RESULT_LIMIT,
    TAIL_LIMIT,
    Ending,
    Host,
    Launch,
    Runner,
    nonzero_exit,
    read_head,
    read_tail,
    to_text,
)

FILE = "invoke"
ANSWER_LIMIT = 1024 * 1024
_LONGEST_CODE = 128
#: The fields that are kept of a result that is too large: those that the job's next run needs, and that people read.
_KEPT = ("summary", "session_id", "heartbeat")
_KEPT_TEXT = 4_000


class InvokeRunner(Runner):
    """Success: exit code 0 (or the job's `success`), and a valid answer with status ok on stdout."""

    name = "invoke"
    order = 20
    fits_when = "the target has a file `invoke`"
    stdin = "the request, as JSON"
    success = "exit code 0 and an answer with status `ok`"
    result_key = "result"

    def fits(self, invocation: Invocation, folder: Path) -> bool:  # noqa: ARG002 - a runner's form
        return os.path.isfile(folder / FILE)

    def launch(self, invocation: Invocation, folder: Path, host: Host) -> Launch:  # noqa: ARG002 - a runner's form
        path = folder / FILE
        if not os.path.isfile(path):
            raise RunnerNotFound(
                f"target {invocation.request.target} has no file {FILE}",
                hint=f"Put an executable file {FILE} into {folder}, or give the job a command.",
                details={"looked_at": [str(path)]},
            )
        if not os.access(path, os.X_OK):
            raise IpcError(f"{path} is not executable", hint=f"Run chmod +x {quoted(path)}")
        return Launch((str(path),), request_on_stdin=True)

    def read(self, invocation: Invocation, ending: Ending) -> Answer:
        try:
            answer = _answer(invocation, ending.stdout)
        except _Wrong as fault:
            allowed = [0] if invocation.success is None else [0, *invocation.success.exit_codes]
            if ending.exit_code not in allowed:
                raise nonzero_exit(FILE, ending, answer=str(fault)) from None
            raise _invalid(str(fault), ending) from None
        if isinstance(answer, Failure):
            exit_code = {"exit_code": ending.exit_code} if ending.exit_code != 0 else {}
            failure = Failure(answer.code, answer.message, {**answer.details, **exit_code})
            return Answer(failure=failure, from_target=True)
        if ending.exit_code == 0 or invocation.success is not None:
            return Answer(answer, session_id=_session(answer))
        raise nonzero_exit(FILE, ending, answer="status ok")


def _session(result: Mapping[str, object]) -> str:
    """The session ID that the job's next run gets; "" for none."""
    session = result.get("session_id")
    return session[:_LONGEST_CODE] if isinstance(session, str) else ""


class _Wrong(Exception):
    """What is wrong with an answer."""


def _invalid(fault: str, ending: Ending) -> InvalidResponse:
    details: dict[str, object] = {"wrong": fault, "file": str(ending.stdout)}
    if errors := read_tail(ending.stderr):
        details["stderr"] = errors
    return InvalidResponse(
        f"the answer is not a valid InvocationResult: {fault}",
        hint="invoke must print exactly one JSON object on stdout, and anything else on stderr.",
        details=details,
    )


def _answer(invocation: Invocation, path: str) -> Mapping[str, object] | Failure:
    answer = _object(path)
    for key, expected in (
        ("request_id", invocation.request.request_id),
        ("correlation_id", invocation.request.correlation_id),
    ):
        if answer.get(key) not in (None, expected):
            raise _Wrong(f"{key} is {_shown(answer[key])}, but the request has {expected}")
    status = answer.get("status")
    if status == "ok":
        return _result(answer, path, invocation.allow_empty_result)
    if status == "error":
        return _error(answer, path)
    if "status" not in answer:
        raise _Wrong("status is missing")
    raise _Wrong(f"status must be ok or error, is {_shown(status)}")


def _shown(value: object) -> str:
    return strict_json.excerpt(value) if isinstance(value, str) else strict_json.kind(value)


def _object(path: str) -> dict[str, object]:
    data, size = read_head(path, ANSWER_LIMIT)
    if size > ANSWER_LIMIT:
        raise _Wrong(f"{size} bytes; at most {ANSWER_LIMIT} are allowed")
    try:
        answer = strict_json.parse(data, unique_keys=True)
    except strict_json.BadJson as bad:
        fault = str(bad) if bad.kind == "key" else f"not JSON: {bad}"
        raise _Wrong(fault if data.strip() else "empty") from None
    if not isinstance(answer, dict):
        raise _Wrong(f"must be an object, is {strict_json.kind(answer)}")
    return answer


def _result(answer: Mapping[str, object], path: str, allow_empty: bool) -> Mapping[str, object]:
    if answer.get("error") is not None:
        raise _Wrong("status is ok, but there is an error too")
    result = answer.get("result")
    if result is not None and not isinstance(result, dict):
        raise _Wrong(f"result must be an object, is {strict_json.kind(result)}")
    if not result and not allow_empty:
        raise _Wrong("status is ok, but the result is empty")
    return _bounded(result or {}, path)


def _error(answer: Mapping[str, object], path: str) -> Failure:
    if answer.get("result") is not None:
        raise _Wrong("status is error, but there is a result too")
    error = answer.get("error")
    if not isinstance(error, dict):
        raise _Wrong(f"status is error, but error is {strict_json.kind(error) if 'error' in answer else 'missing'}")
    code, message, details = error.get("code"), error.get("message"), error.get("details")
    if not isinstance(code, str) or not 0 < len(code) <= _LONGEST_CODE:
        raise _Wrong(f"error.code must be a string of 1 to {_LONGEST_CODE} characters")
    if not isinstance(message, str) or not message:
        raise _Wrong("error.message must be a string that is not empty")
    if details is not None and not isinstance(details, dict):
        raise _Wrong(f"error.details must be an object, is {strict_json.kind(details)}")
    short, _ = to_text(message.encode(), TAIL_LIMIT, whole=True)
    return Failure(code, short, _bounded(details or {}, path))


def _bounded(value: dict[str, object], path: str) -> dict[str, object]:
    """The value; if it is too large for the database and events, its size, its file and its beginning."""
    data = strict_json.dump(value)
    if len(data) <= RESULT_LIMIT:
        return value
    preview, _ = to_text(data, TAIL_LIMIT, whole=True)
    kept = {key: text[:_KEPT_TEXT] for key in _KEPT if isinstance(text := value.get(key), str)}
    return {"truncated": True, "bytes": len(data), "file": str(path), **kept, "preview": preview}


KIND = InvokeRunner()

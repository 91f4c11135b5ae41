"""`python3 invoker.py --target NAME --prompt TEXT`: one invocation from the command line.

It is a program of its own, so it makes its own clock and reads the settings itself.
"""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from config import settings
from core import streams, strict_json
from core.clock import utc_text
from core.errors import CronError, OutputUnwritable, UsageError
from core.invocation import MOST_HOPS, Invocation, InvocationRequest
from core.json_objects import RequestObject, ResultObject
from core.system_clock import SystemClock
from invocation.child_environment import OURS
from invocation.policy import POLICY_FILE, PolicyFile
from invocation.runners.base import Host
from invocation.targets import Targets
from invoker import Invoker
from system.stop_signals import stop_on_signals

if TYPE_CHECKING:
    from system.processes import Stop


class InvocationAnswer(TypedDict):
    """What the program prints, unless the invocation could not be made."""

    request: RequestObject
    response: ResultObject


_LONGEST_TIMEOUT = 604_800
_SEE_HELP = "See python3 invoker.py --help"
_REQUIRED = ("--target", "--prompt")
_OPTIONS = {
    "--target": "name of the sibling to ask (required)",
    "--prompt": "what to ask for (required)",
    "--action": "what kind of request it is (default: run)",
    "--caller": "who asks (default: puruto-cron)",
    "--timeout": "seconds (default: default_timeout_sec of .puruto-ipc.json, else 120)",
    "--hop": "how many invocations led to this one (default: one more than for the calling run, else 0)",
    "--payload": "further data for the target, a JSON object (default: {})",
}
_HELP = """usage: invoker.py --target NAME --prompt TEXT [options]

Asks a target once and prints {"request": ..., "response": ...} as one JSON object on stdout.

  python3 invoker.py --target puruto-data --action read --prompt "Lee registro" --caller puruto-ipc --timeout 120

Exit codes: 0 the response is ok; 1 it is an error; 2 bad usage or settings; 128 + signal when interrupted.
The target's output stays in runs/_invoker/<request_id>/.

options:
"""


def main(argv: list[str]) -> int:
    """Makes one invocation and prints it. Returns the exit code, also for a failed invocation and for bad usage."""
    if "--help" in argv[:1] or "-h" in argv[:1]:
        options = "".join(f"  {name:10} {meaning}\n" for name, meaning in _OPTIONS.items())
        return 0 if _print(f"{_HELP}{options}".encode()) else 1
    with stop_on_signals() as stop:
        try:
            answer, code = _answer(argv, stop)
            printed = strict_json.dump(answer)
        except CronError as error:
            printed, code = strict_json.dump({"status": "error", "error": error.as_dict()}), error.exit_code
        return code if _print(printed + b"\n") else code or 1


def _print(data: bytes) -> bool:
    """Prints on stdout. Returns whether that was possible; a reader that has gone is no fault."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        streams.drop(sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            streams.say(f"{OutputUnwritable.code}: The answer can't be written to stdout: {error.strerror}")
            return False
    return True


def _answer(argv: list[str], stop: Stop) -> tuple[InvocationAnswer, int]:
    root = Path(__file__).resolve().parents[1]
    policy = PolicyFile(root / POLICY_FILE)
    clock = SystemClock()
    request = _request(_options(argv), policy.read().default_timeout_sec, os.environ, utc_text(clock.now()))
    loaded = settings.load(os.environ, root)
    targets = Targets(loaded.home, loaded.data_path, root)
    folder = loaded.runs_folder / "_invoker" / request.request_id
    host = Host(loaded.variables, loaded.agents, loaded.agent_path)
    outcome = Invoker(targets, policy, host, loaded.kill_grace_sec, clock).invoke(
        Invocation(request, attempt=1, run_folder=str(folder), run_id=request.request_id),
        stop=stop,
        on_start=lambda _child: None,
        beat=lambda: None,
        beat_every=math.inf,
    )
    answer: InvocationAnswer = {"request": request.as_dict(), "response": outcome.response.as_dict()}
    if outcome.stopped:
        return answer, 128 + signal.Signals[stop.reason]
    return answer, 0 if outcome.response.status == "ok" else 1


def _options(argv: list[str]) -> dict[str, str]:
    """Parses `--name value` and `--name=value`. A value may look like an option. Raises `UsageError`."""
    options: dict[str, str] = {}
    rest = iter(argv)
    for word in rest:
        name, equals, value = word.partition("=")
        if name not in _OPTIONS:
            raise UsageError(f"unknown argument {strict_json.excerpt(word)}", hint=_nearest(name))
        text = value if equals else next(rest, None)
        if text is None:
            raise UsageError(f"{name} needs a value", hint=_SEE_HELP)
        options[name] = text
    missing = [name for name in _REQUIRED if name not in options]
    if missing:
        raise UsageError(f"{' and '.join(missing)} must be given", hint=_SEE_HELP)
    return options


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    matches = get_close_matches(name, _OPTIONS, n=1)
    return f"Did you mean {matches[0]}?" if matches else _SEE_HELP


def _request(
    options: Mapping[str, str], default_timeout_sec: int, environ: Mapping[str, str], now: str
) -> InvocationRequest:
    """The request from the options. Raises `UsageError`; and `SettingsError` if PURUTO_CRON_HOP is not valid."""
    return InvocationRequest(
        request_id=f"req-{os.urandom(16).hex()}",
        # In a run, all requests share the run's correlation id.
        correlation_id=strict_json.plain_text(environ.get(OURS + "CORRELATION_ID", ""))[:128]
        or f"corr-{os.urandom(16).hex()}",
        caller=_text(options, "--caller", "puruto-cron", 128),
        target=_text(options, "--target", "", 128),
        action=_text(options, "--action", "run", 128),
        prompt=_text(options, "--prompt", "", 100_000),
        timeout_sec=_number(options, "--timeout", default_timeout_sec, 1, _LONGEST_TIMEOUT),
        hop=_number(options, "--hop", 0, 0, MOST_HOPS) if "--hop" in options else settings.next_hop(environ),
        requested_at=now,
        payload=_payload(options.get("--payload", "{}")),
    )


def _text(options: Mapping[str, str], name: str, default: str, longest: int) -> str:
    text = options.get(name, default)
    if not 1 <= len(text) <= longest or strict_json.plain_text(text) != text:
        raise UsageError(f"{name} must be UTF-8 text of 1 to {longest} characters", hint=_SEE_HELP)
    return text


def _number(options: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = options.get(name, str(default))
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else -1
    if not least <= number <= most:
        shown = strict_json.excerpt(text)
        raise UsageError(f"{name} must be a whole number from {least} to {most}, is {shown}", hint=_SEE_HELP)
    return number


def _payload(text: str) -> dict[str, object]:
    try:
        value = strict_json.parse(text.encode("utf-8", "surrogateescape"))
    except strict_json.BadJson as bad:
        raise UsageError(f"--payload is not JSON: {bad}", hint=_SEE_HELP) from None
    if not isinstance(value, dict):
        raise UsageError(f"--payload must be an object, is {strict_json.kind(value)}", hint=_SEE_HELP)
    return value

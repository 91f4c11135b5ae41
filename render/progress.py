"""The progress line that `run-now` draws on stderr. It never fails the run, and is erased when the run ends."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from render.watching import progress
from render.words import duration, plain, span

if TYPE_CHECKING:
    from executor import Invoke

_REDRAWN_SEC = 0.5
#: A terminal that accepts no output (Ctrl-S) must not delay the end of a run by more than this.
_TIMEOUT_SEC = 1.0
_ERASE = "\r\x1b[2K"


@dataclass(frozen=True)
class Step:
    """The state of a run. `began` and `retry_at` are seconds of the monotonic clock.

    `retry_at` is None while an attempt is running.
    """

    job_id: str
    attempt: int
    attempts: int
    began: float
    usual_ms: int | None
    retry_at: float | None = None
    stopping: str = ""


def line(step: Step, now: float) -> Text:
    """The line for `now` (monotonic seconds): `backup  attempt 1 of 3  12 s  ████░░░░ 25 % of 48 s`."""
    elapsed = max(0.0, now - step.began)
    text = Text(plain(step.job_id, 60), "bold", no_wrap=True, overflow="ellipsis")
    text.append(f"  attempt {step.attempt} of {max(step.attempt, step.attempts)}  {span(int(elapsed))}  ", "not bold")
    if step.stopping:
        return text.append(f"stopping ({plain(step.stopping)})", "not bold yellow")
    if step.retry_at is not None:
        left = step.retry_at - now
        return text.append(f"retry in {span(left)}" if left > 0 else "too many runs: waiting", "not bold yellow")
    if step.usual_ms:
        text.append_text(Text("", "not bold").append_text(progress(elapsed, step.usual_ms)))
        text.append(f" of {duration(step.usual_ms)}", "not bold dim")
    return text


class ProgressLine:
    """Redraws the line from its own thread. Nothing else writes to the terminal `fd` meanwhile."""

    def __init__(
        self,
        fd: int,
        step: Step,
        monotonic: Callable[[], float],
        retry_delay: Callable[[int], int],
        reason: Callable[[], str],
        environ: Mapping[str, str],
    ) -> None:
        """`retry_delay(n)` gives the seconds between failed attempt n and the next one.

        `reason()` says why the run was asked to stop, or "".
        """
        self._fd = fd
        self._step = step
        self._monotonic = monotonic
        self._retry_delay = retry_delay
        self._reason = reason
        self._environ = environ
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="progress line", daemon=True)

    def around(self, invoke: Invoke) -> Invoke:
        """Wraps `invoke`: the same call, and the line follows its start and its end."""

        async def with_progress(invocation: Any, **options: Any) -> Any:
            self._step = replace(self._step, attempt=invocation.attempt, retry_at=None)
            outcome = await invoke(invocation, **options)
            if outcome.response.error is not None:
                # After the last attempt this is never drawn: the run ends first.
                delay = self._retry_delay(invocation.attempt)
                self._step = replace(self._step, retry_at=self._monotonic() + delay)
            return outcome

        return with_progress

    def __enter__(self) -> ProgressLine:
        # If no thread can be started, the job runs all the same.
        with suppress(RuntimeError):
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join(_TIMEOUT_SEC)

    def _draw(self) -> None:
        shown = False
        # If the terminal is gone, only the drawing ends.
        with suppress(OSError):
            while not self._end.wait(_REDRAWN_SEC):
                if self._is_ours():
                    self._write(_ERASE + self._rendered())
                    shown = True
            if shown:
                self._write(_ERASE)

    def _rendered(self) -> str:
        # A terminal that does not know its width reports 0.
        width = max(20, (os.get_terminal_size(self._fd).columns or 80) - 1)
        step = replace(self._step, stopping=self._reason())
        out = Console(file=io.StringIO(), force_terminal=True, width=width, _environ=self._environ, highlight=False)
        with out.capture() as text:
            out.print(line(step, self._monotonic()), end="", no_wrap=True, overflow="ellipsis", crop=True)
        return text.get()

    def _is_ours(self) -> bool:
        """Whether this process is in the foreground: a terminal may stop a background process that writes to it."""
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            # It is not a controlling terminal, so it stops nobody.
            return True

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        while data:
            data = data[os.write(self._fd, data) :]

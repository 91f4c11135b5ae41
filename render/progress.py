"""The line on stderr that shows a person how a run by hand goes. It never fails the run, and is gone when that ends."""

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
#: A terminal that takes nothing (Ctrl-S) must not hold up the end of a run.
_TIMEOUT_SEC = 1.0
_ERASE = "\r\x1b[2K"


@dataclass(frozen=True)
class Step:
    """Where a run stands; instants in seconds of the monotonic clock. `retry_at` is None while an attempt goes on."""

    job_id: str
    attempt: int
    attempts: int
    began: float
    usual_ms: int | None
    retry_at: float | None = None
    stopping: str = ""


def line(step: Step, now: float) -> Text:
    """`backup  attempt 1 of 3  12 s  ████░░░░ 25 % of 48 s`."""
    elapsed = max(0.0, now - step.began)
    text = Text(plain(step.job_id, 60), "bold", no_wrap=True, overflow="ellipsis")
    text.append(f"  attempt {step.attempt} of {max(step.attempt, step.attempts)}  {span(int(elapsed))}  ", "not bold")
    if step.stopping:
        return text.append(f"stopping ({plain(step.stopping)})", "not bold yellow")
    if step.retry_at is not None:
        left = step.retry_at - now
        return text.append(f"retry in {span(left)}" if left > 0 else "waits for a place", "not bold yellow")
    if step.usual_ms:
        text.append_text(Text("", "not bold").append_text(progress(elapsed, step.usual_ms)))
        text.append(f" of {duration(step.usual_ms)}", "not bold dim")
    return text


class ProgressLine:
    """Redraws the line on a thread of its own, which alone writes to the terminal `fd`."""

    def __init__(
        self,
        fd: int,
        step: Step,
        monotonic: Callable[[], float],
        waits: Callable[[int], int],
        reason: Callable[[], str],
        environ: Mapping[str, str],
    ) -> None:
        """`waits` gives the seconds after the n-th failed attempt; `reason` why the run is asked to stop, or ""."""
        self._fd = fd
        self._step = step
        self._monotonic = monotonic
        self._waits = waits
        self._reason = reason
        self._environ = environ
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="progress line", daemon=True)

    def around(self, invoke: Invoke) -> Invoke:
        """The same calls; on the way in and out they say where the run stands."""

        async def watched(invocation: Any, **options: Any) -> Any:
            self._step = replace(self._step, attempt=invocation.attempt, retry_at=None)
            outcome = await invoke(invocation, **options)
            if outcome.response.error is not None:
                # Of the last attempt nobody sees it: the run ends before the line is drawn again.
                wait = self._waits(invocation.attempt)
                self._step = replace(self._step, retry_at=self._monotonic() + wait)
            return outcome

        return watched

    def __enter__(self) -> ProgressLine:
        # A machine without a thread left runs the job all the same.
        with suppress(RuntimeError):
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join(_TIMEOUT_SEC)

    def _draw(self) -> None:
        shown = False
        # A terminal that is gone is no reason to end anything but this.
        with suppress(OSError):
            while not self._end.wait(_REDRAWN_SEC):
                if self._is_ours():
                    self._write(_ERASE + self._rendered())
                    shown = True
            if shown:
                self._write(_ERASE)

    def _rendered(self) -> str:
        # A terminal that does not know its width says 0.
        width = max(20, (os.get_terminal_size(self._fd).columns or 80) - 1)
        step = replace(self._step, stopping=self._reason())
        out = Console(file=io.StringIO(), force_terminal=True, width=width, _environ=self._environ, highlight=False)
        with out.capture() as text:
            out.print(line(step, self._monotonic()), end="", no_wrap=True, overflow="ellipsis", crop=True)
        return text.get()

    def _is_ours(self) -> bool:
        """Whether we are in the foreground: in the background a terminal may stop who writes to it."""
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            # It controls nobody, so nobody is stopped.
            return True

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        while data:
            data = data[os.write(self._fd, data) :]

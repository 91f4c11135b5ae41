"""`gemini`: Google's Gemini CLI. Source: geminicli.com/docs/cli/headless, and the output of version 0.61.0."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from core.invocation import Answer, Invocation, Usage, total
from core.invocation_errors import AgentLimitReached
from invocation.runners.agents.base import AgentRunner
from invocation.runners.agents.outcomes import (
    Report,
    conclude,
    count_of,
    failed,
    invalid,
    members_of,
    text_of,
    truncated,
)
from invocation.runners.base import Ending

_APPROVAL = {
    "plan": "plan",
    "default": "default",
    "dontAsk": "default",
    "acceptEdits": "auto_edit",
    "auto": "auto_edit",
    "bypassPermissions": "yolo",
}


#: The whole of an answer that is no answer, in its own words.
_WHOLE_ERROR = re.compile(r"\[API Error: (.{1,4000})\]", re.DOTALL)
#: The end that it gives to an answer that breaks off.
_CUT = "Response truncated due to token limits."
#: Its exit code, which is also the code of the error. Source: geminicli.com/docs/cli/headless.
_TURNS_USED_UP = 53


class GeminiRunner(AgentRunner):
    """Success: a response without an error, and exit code 0."""

    name = "gemini"
    title = "Google's Gemini CLI"
    markers = ("GEMINI.md",)
    # It does not report a cost either.
    unsupported = (
        "allowed_tools",
        "fail_on_permission_denial",
        "max_budget_usd",
        "max_cost_usd_per_day",
        "max_turns",
        "append_system_prompt",
        "json_schema",
    )
    prefixes = ("GEMINI_", "GOOGLE_")
    install = "npm install -g @google/gemini-cli."
    lost_words = ("Invalid session identifier", "No previous sessions found")
    wanted = ("session_id", "error", "stats")
    fails_on_stderr = True

    def arguments(self, invocation: Invocation) -> Iterator[str]:
        options = invocation.agent
        # Nobody could answer whether to trust the folder; the owner of the job trusts it.
        yield from ("--output-format", "json", "--skip-trust")
        if options.permission_mode:
            yield f"--approval-mode={_APPROVAL[options.permission_mode]}"
        if options.model:
            yield f"--model={options.model}"
        if invocation.context.session_id:
            yield f"--resume={invocation.context.session_id}"

    def take(self, event: Mapping[str, object], report: Report) -> bool:
        if not any(name in event for name in self.wanted) and "response" not in event:
            return False
        report.last = event
        report.text = text_of(event.get("response"))
        report.error = text_of(members_of(event.get("error")).get("message"))
        report.session_id = text_of(event.get("session_id")) or report.session_id
        if "stats" in event:
            report.used["stats"] = _usage(members_of(event["stats"]))
        return True

    def usage(self, report: Report) -> Usage:
        return report.used.get("stats", Usage())

    def has_ended(self, report: Report) -> bool:
        return any(name in (report.last or {}) for name in ("response", "error"))

    def judge(self, invocation: Invocation, ending: Ending, report: Report) -> Answer:
        event = report.last or {}
        if event.get("error") is not None:
            error = members_of(event["error"])
            if error.get("type") == "FatalTurnLimitedError" or error.get("code") == _TURNS_USED_UP:
                raise AgentLimitReached(
                    f"gemini reached its own limit of turns and stopped: {report.error[:300]}",
                    hint="Raise model.maxSessionTurns in its settings.json if the work needs more.",
                )
            status = _status(error.get("code"))
            return failed(self.name, invocation, ending, report.error, status=status)
        if not isinstance(event.get("response"), str):
            raise invalid(self.name, "response is missing", ending)
        if own := _WHOLE_ERROR.fullmatch(report.text.strip()):
            report.error = own[1]
            return failed(self.name, invocation, ending, own[1])
        if report.text.rstrip().endswith(_CUT):
            raise truncated(self.name, "it reached the model's limit of tokens", ending)
        return conclude(self.name, invocation, ending, report)


def _status(code: object) -> int | None:
    """The HTTP status of the provider; None for the program's own codes."""
    return code if isinstance(code, int) and 400 <= code <= 599 else None


def _usage(stats: Mapping[str, object]) -> Usage:
    models = [members_of(entry) for entry in members_of(stats.get("models")).values()]
    tokens = [members_of(entry.get("tokens")) for entry in models]
    return Usage(
        turns=total(*(count_of(members_of(entry.get("api")), "totalRequests") for entry in models)) or 0,
        input_tokens=total(*(count_of(entry, "prompt") for entry in tokens)),
        output_tokens=total(*(count_of(entry, "candidates") for entry in tokens)),
    )


KIND = GeminiRunner()

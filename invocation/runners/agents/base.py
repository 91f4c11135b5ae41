"""What all agent runners share: finding the program, the prompt, the environment, and reading the answer."""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from core import strict_json
from core.invocation import SLEEP_MARKER, Answer, Invocation, Usage
from core.invocation_errors import AgentFailed, AgentOptionUnsupported, InvocationError, RunnerNotFound
from invocation import answers
from invocation.refusals import kind_of, own_lines
from invocation.runners.agents.outcomes import (
    Report,
    answered_but_failed,
    failed,
    failure_of,
    invalid,
    lost,
    truncated,
)
from invocation.runners.base import (
    INSTALL_HINT,
    Ending,
    Host,
    Launch,
    Runner,
    nonzero_exit,
    read_end,
    read_head,
    read_tail,
)

#: The most bytes of an agent's output that are read; its answer is a part of that. Of a longer one, so many bytes of
#: its end are read too, for what it has cost.
OUTPUT_LIMIT = 16 * 1024 * 1024
_END_LIMIT = 4 * 1024 * 1024
#: The most bytes of stderr in which a failure is looked for.
_STDERR_LIMIT = 64 * 1024
#: Where installers put agents. They are searched after PATH, which is short under cron.
_USUAL_FOLDERS = (
    "~/.local/bin",
    "~/.npm-global/bin",
    "~/.bun/bin",
    "~/.volta/bin",
    "~/.claude/local",
    "/usr/local/bin",
    "/opt/homebrew/bin",
)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class AgentRunner(Runner):
    """Runs an agent's program without a dialog: the prompt is on its standard input."""

    #: The name by which people know it, with its maker.
    title = ""
    #: Fields of a job for which the agent has no option. Source: its `--help`.
    unsupported: tuple[str, ...] = ()
    stdin = "the prompt"
    success = "[agents.md](agents.md#what-counts-as-a-success)"
    #: Files that mark a target as made for this agent.
    markers: tuple[str, ...] = ()
    #: Prefixes of the variables in our environment that the agent gets.
    prefixes: tuple[str, ...] = ()
    #: What it says if it does not know the session that it is to continue.
    lost_words: tuple[str, ...] = ()
    #: The keys of its events that are read even of a broken one: those that tell its type, its session and its cost.
    wanted: tuple[str, ...] = ("type",)
    #: Whether its answer is all of its events, and not the last one alone.
    is_stream = False
    #: Whether it prints the object of a failure on stderr.
    fails_on_stderr = False

    @property
    def fits_when(self) -> str:  # type: ignore[override]
        """For the table of runners: the files that a target must have."""
        named = " or ".join(f"{'an' if marker[0].lower() in 'aeiou' else 'a'} `{marker}`" for marker in self.markers)
        return f"the target has {named}, and the program is found"

    def fits(self, invocation: Invocation, folder: Path) -> bool:  # noqa: ARG002 - a runner's form
        return any(os.path.isfile(folder / marker) for marker in self.markers)

    def lacks(self, host: Host) -> str:
        if find_program(self.name, host) is not None:
            return ""
        return f"it has {' or '.join(self.markers)}, but no program {self.name} was found"

    def launch(self, invocation: Invocation, folder: Path, host: Host) -> Launch:  # noqa: ARG002 - a runner's form
        for field in self.unsupported:
            # A job with such a field fails, instead of running without it.
            if getattr(invocation.agent, field):
                raise AgentOptionUnsupported(
                    f"{self.name} does not support {field}",
                    hint=f"Remove {field} from the job, or give it another runner.",
                    details={"field": field, "runner": self.name},
                )
        session_runner = invocation.context.session_runner
        if invocation.context.session_id and session_runner not in ("", self.name):
            # With an ID that it can't read, codex would silently start a new session.
            raise lost(self.name, invocation, f"it is a session of {session_runner}")
        program = find_program(self.name, host)
        if program is None:
            searched = [str(folder) for folder in _folders(host)]
            hint = f"{self.install} {INSTALL_HINT}"
            message = f"no program {self.name} was found"
            raise RunnerNotFound(message, hint=hint, details={"program": self.name, "looked_at": searched})
        files = dict(self.files(invocation))
        argv = (program, *self.arguments(invocation), *invocation.agent.agent_args, *self.last_arguments(invocation))
        return Launch(argv, stdin=prompt_of(invocation), env=self.variables(invocation, program, host), files=files)

    @abstractmethod
    def arguments(self, invocation: Invocation) -> Iterator[str]:
        """The program's arguments before the job's `agent_args`."""

    def last_arguments(self, invocation: Invocation) -> Iterable[str]:  # noqa: ARG002 - a runner's form
        """The arguments after the job's `agent_args`."""
        return ()

    def files(self, invocation: Invocation) -> Mapping[str, str]:  # noqa: ARG002 - a runner's form
        """Files for the program to read: texts by path."""
        return {}

    def needs(self, name: str, variables: Mapping[str, str]) -> bool:  # noqa: ARG002 - a runner's form
        """Whether the agent gets the variable `name` of our environment."""
        return name.startswith(self.prefixes)

    def variables(self, invocation: Invocation, program: str, host: Host) -> dict[str, str]:
        """The agent's own variables and those of proxies, from our environment or .env, and nothing else.

        PATH also gets the folder of the program, because many agents are scripts for a `node` in the same folder, and
        PATH is short under cron. The folder is last in PATH, or first if it has a `node`: another one may be too old.
        """
        ours = host.variables
        all_variables = {**ours, **invocation.env}
        selected = {name: value for name, value in ours.items() if self.needs(name, all_variables)}
        selected.update({name: value for name, value in ours.items() if name.upper() in _PROXIES})
        path = invocation.env.get("PATH") or ours.get("PATH") or os.defpath
        folder = os.path.dirname(program)
        has_node = "PATH" not in invocation.env and os.access(os.path.join(folder, "node"), os.X_OK)
        selected["PATH"] = os.pathsep.join([folder, path] if has_node else [path, folder])
        # The job's own `env` overrides ours.
        return {name: value for name, value in selected.items() if name == "PATH" or name not in invocation.env}

    # --- its answer ---

    @abstractmethod
    def take(self, event: Mapping[str, object], report: Report) -> bool:
        """Adds one object of the output to the report. False if it is none of this agent's events."""

    @abstractmethod
    def usage(self, report: Report) -> Usage:
        """What was used by this call; or by its whole session, with `counts_session`."""

    @abstractmethod
    def judge(self, invocation: Invocation, ending: Ending, report: Report) -> Answer:
        """The answer, given that its last event is sound. The base adds usage, session, exit code and noise.

        Raises InvocationError. If the exit code is not 0, the base calls an ok a failure.
        """

    def read(self, invocation: Invocation, ending: Ending) -> Answer:
        report, reading, size = self._report(ending)
        try:
            answer = self._answer(invocation, ending, report, reading, size)
        except InvocationError as error:
            answer = Answer(failure=failure_of(error), text=report.text or None)
        failure = answer.failure
        if failure is not None and invocation.context.session_id:
            said = f"{report.error}\n{read_tail(ending.stderr)}".strip()
            if any(words in said for words in self.lost_words):
                failure = failure_of(lost(self.name, invocation, said))
        spent, result = self._spent(invocation, report), answer.result
        if failure is not None and reading.noise and not (report.fault or reading.is_open):
            failure = replace(failure, details={**failure.details, "output_noise": reading.noise})
        elif failure is None and result is not None:
            tokens = {"input_tokens": spent.usage.input_tokens, "output_tokens": spent.usage.output_tokens}
            result = {**result, "usage": tokens, **({"output_noise": reading.noise} if reading.noise else {})}
        return replace(spent, result=result, failure=failure, text=answer.text)

    def read_unended(self, invocation: Invocation, ending: Ending) -> Answer | None:
        report, reading, size = self._report(ending)
        if size > OUTPUT_LIMIT or report.is_cut or report.fault or reading.is_open or not self.has_ended(report):
            return None
        answer = self.read(invocation, ending)
        result, failure, note = answer.result, answer.failure, {"did_not_exit": True}
        if failure is not None:
            return replace(answer, failure=replace(failure, details={**failure.details, **note}))
        return replace(answer, result={**(result or {}), **note})

    def has_ended(self, report: Report) -> bool:
        """Whether the turn has ended, whatever its process does."""
        return report.last is not None

    def read_ended(self, invocation: Invocation, ending: Ending) -> Answer:
        return self._spent(invocation, self._report(ending)[0])

    def _spent(self, invocation: Invocation, report: Report) -> Answer:
        """An answer that tells only what was used, and in which session. That counts, however the call ended."""
        usage, session = self.usage(report), report.session_id
        if usage == Usage():
            return Answer(session_id=session)
        used, of_session = self.shares(invocation.context.session_usage, usage, report)
        return Answer(usage=used, session_id=session, session_usage=of_session)

    def shares(self, before: Usage, usage: Usage, report: Report) -> tuple[Usage, Usage]:  # noqa: ARG002 - its form
        """What this call used, and what its session has counted so far; empty where the agent counts by calls.

        `before` is what the session had counted when this call continued it.
        """
        return usage, Usage()

    def _report(self, ending: Ending) -> tuple[Report, answers.Reading, int]:
        """What the output says, how stdout was read, and its size. Of a long one, a part in the middle is not read."""
        report = Report()

        def take(event: answers.Event) -> bool:
            before = report.last
            if not self.take(event.value, report):
                return False
            if report.last is not before:
                report.fault = event.fault or (report.fault if self.is_stream else "")
                report.is_cut = event.is_cut
            return True

        data, size = read_head(ending.stdout, OUTPUT_LIMIT)
        reading = answers.read(data, take, self.wanted)
        if size > len(data):
            answers.read(read_end(ending.stdout, len(data), _END_LIMIT), take, self.wanted)
        elif report.last is None and self.fails_on_stderr:
            answers.read(read_end(ending.stderr, 0, _STDERR_LIMIT), take, self.wanted)
        return report, reading, size

    def _answer(
        self, invocation: Invocation, ending: Ending, report: Report, reading: answers.Reading, size: int
    ) -> Answer:
        if size > OUTPUT_LIMIT:
            raise truncated(self.name, f"of {size} bytes at most {OUTPUT_LIMIT} are read", ending)
        if report.last is None:
            return self._without_answer(invocation, ending, reading)
        if report.is_cut or reading.is_open:
            raise truncated(self.name, report.fault or "its list is not closed", ending)
        if report.fault:
            raise invalid(self.name, f"not JSON: {report.fault}", ending)
        answer = self.judge(invocation, ending, report)
        allowed = [0] if invocation.success is None else invocation.success.exit_codes
        if answer.failure is not None or ending.exit_code in allowed:
            return answer
        return answered_but_failed(self.name, ending, report)

    def _without_answer(self, invocation: Invocation, ending: Ending, reading: answers.Reading) -> Answer:
        """What to make of an output without any event that decides."""
        printed, is_own = read_tail(ending.stdout), ending.exit_code != 0
        for text in () if reading.found or reading.fault else (printed, read_tail(ending.stderr)):
            # It may refuse in plain text.
            said = own_lines(text) if is_own else text
            if kind_of(said, None, is_own=is_own) is not AgentFailed:
                return failed(self.name, invocation, ending, said, is_own=is_own)
        if reading.is_cut:
            raise truncated(self.name, reading.fault, ending)
        if reading.found:
            raise invalid(self.name, "it has no result", ending)
        if printed.strip():
            raise invalid(self.name, f"not JSON: {reading.fault or strict_json.excerpt(printed)}", ending)
        if ending.exit_code != 0:
            raise nonzero_exit(self.name, ending)
        raise invalid(self.name, "it printed nothing", ending)


def find_program(name: str, host: Host) -> str | None:
    """The path of an agent's program: searched in PURUTO_CRON_AGENT_PATH, PATH, and the usual folders; else None."""
    for folder in _folders(host):
        path = folder / name
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return str(path)
    return None


def _folders(host: Host) -> Iterator[Path]:
    home = host.variables.get("HOME") or os.path.expanduser("~")
    named = [*host.agent_path, *host.variables.get("PATH", "").split(os.pathsep), *_USUAL_FOLDERS]
    for text in named:
        folder = Path(home, text[2:]) if text.startswith("~/") else Path(text)
        # A relative folder would depend on the folder in which a tick is started.
        if folder.is_absolute():
            yield folder


# --- the prompt ---


def prompt_of(invocation: Invocation) -> str:
    """The job's prompt, after the report of the previous run, and with the instructions of a heartbeat."""
    context, parts = invocation.context, []
    if context.previous_summary:
        whose = "your previous call in this slot" if context.iteration > 1 else "the previous run of this job"
        parts.append(f"What {whose} reported:\n\n{context.previous_summary}\n\n---\n")
    parts.append(invocation.request.prompt)
    if context.iteration:
        parts.append(
            f"\n\n---\nThis is call {context.iteration} of at most {context.max_iterations} in this slot."
            " You are called again until you are done. When nothing is left to do for now, end your answer with a line"
            f" that is only {SLEEP_MARKER}; if there is nothing to report either, answer only that line."
        )
    return "\n".join(parts) if context.previous_summary else "".join(parts)


def schema_text(invocation: Invocation) -> str:
    """The job's `json_schema` as text."""
    return json.dumps(dict(invocation.agent.json_schema or {}), ensure_ascii=False)

"""What all agent runners share: finding the program, the prompt, the environment, and reading the answer."""

from __future__ import annotations

import json
import os
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from core import strict_json
from core.boundary import Failure
from core.invocation import SLEEP_MARKER, Answer, Invocation, Usage
from core.invocation_errors import (
    AgentFailed,
    AgentOptionUnsupported,
    AgentOutputTruncated,
    AgentOverloaded,
    AgentRefused,
    InvalidResponse,
    RunnerNotFound,
    SessionLost,
)
from invocation.runners.base import INSTALL_HINT, RESULT_LIMIT, Ending, Host, Launch, Runner, read_tail, to_text

#: The most bytes of an agent's output that are read; its answer is a part of that.
OUTPUT_LIMIT = 16 * 1024 * 1024
#: A number of turns or tokens that no run reaches.
_ABSURD = 10**12
#: The kind of a failure is decided by so many characters of its message.
_JUDGED = 2_000
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

#: What providers say if they are overloaded, or get too many requests.
_OVERLOADED = re.compile(
    r"overloaded|high demand|rate[ _]limit|too many requests|resource_exhausted|service unavailable"
)
_REFUSED = re.compile(
    r"(?:invalid api key|api key not valid|authentication|unauthorized|not logged in|please run /login)"
)
#: A number alone is not enough: addresses, times and IDs contain such numbers too.
_STATUS = re.compile(r"(?:status|error|code|http|\()[\": ]*([45]\d\d)\b")


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

    @property
    def fits_when(self) -> str:  # type: ignore[override]
        """For the table of runners: the files that a target must have."""
        named = " or ".join(f"{'an' if marker[0].lower() in 'aeiou' else 'a'} `{marker}`" for marker in self.markers)
        return f"the target has {named}, and the program is found"

    def fits(self, invocation: Invocation, folder: Path) -> bool:  # noqa: ARG002 - a runner's form
        return any((folder / marker).is_file() for marker in self.markers)

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


def find_program(name: str, host: Host) -> str | None:
    """The path of an agent's program: searched in PURUTO_CRON_AGENT_PATH, PATH, and the usual folders; else None."""
    for folder in _folders(host):
        path = folder / name
        if path.is_file() and os.access(path, os.X_OK):
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


# --- the answer ---


def conclude(
    name: str,
    invocation: Invocation,
    ending: Ending,
    text: str,
    *,
    usage: Usage,
    session_id: str,
    session_usage: Usage | None = None,
    structured: object = None,
    extra: Mapping[str, object] | None = None,
) -> Answer:
    """The answer of an agent that ended normally: its text, cut at RESULT_LIMIT, or a failure if it is empty."""
    total = session_usage or Usage()
    shown, whole = to_text(text.encode("utf-8", "replace"), RESULT_LIMIT, whole=True)
    result: dict[str, object] = {"agent": name, "text": shown, "session_id": session_id, **(extra or {})}
    if not whole:
        result["text_truncated"] = True
        result["file"] = str(ending.stdout)
    if invocation.agent.json_schema is not None:
        result["structured_output"] = structured
    if not text.strip() and structured is None and not invocation.allow_empty_result:
        empty = Failure("INVALID_RESPONSE", f"{name} succeeded, but its answer is empty", {"file": str(ending.stdout)})
        return Answer(failure=empty, usage=usage, session_id=session_id, text=text, session_usage=total)
    return Answer(result, usage=usage, session_id=session_id, text=text, session_usage=total)


def failed(
    name: str,
    ending: Ending,
    said: str,
    *,
    usage: Usage,
    session_id: str = "",
    status: int | None = None,
    tells_why: bool = True,
) -> Answer:
    """The failure of an agent that reported one: overloaded, refused, or another.

    `said` is its message. `status` is the HTTP status of its provider. `tells_why` says whether the message is the
    agent's own and not the answer of a model.
    """
    kind = _kind(said if tells_why else "", status)
    details: dict[str, object] = {"agent": name, "said": said[:4096], "exit_code": ending.exit_code}
    if status is not None:
        details["api_error_status"] = status
    error = kind(f"{name} failed: {said[:400] or 'it gives no reason'}", details=details)
    return Answer(failure=failure_of(error), usage=usage, session_id=session_id, text=said)


def _kind(said: str, status: int | None) -> type[AgentFailed]:
    words = said[:_JUDGED].lower()
    if status is None and (match := _STATUS.search(words)):
        status = int(match[1])
    if status in (429, 503, 529) or (status is None and _OVERLOADED.search(words)):
        return AgentOverloaded
    # Google answers a wrong key with 400.
    if status in (401, 403) or (status in (None, 400) and _REFUSED.search(words)):
        return AgentRefused
    return AgentFailed


def failure_of(error: AgentFailed | InvalidResponse) -> Failure:
    """One of our errors as the failure of an answer, so that the usage can be reported with it."""
    details = error.as_dict()["details"]
    return Failure(error.code, error.message, dict(details) if isinstance(details, Mapping) else {})


def lost(name: str, invocation: Invocation, said: str) -> SessionLost:
    """The error for a session that the agent no longer knows."""
    session = invocation.context.session_id
    return SessionLost(f"{name} does not know the session {session}", details={"session_id": session, "said": said})


def parse_object(name: str, data: bytes, size: int, ending: Ending) -> dict[str, object] | None:
    """The JSON object that was printed; None if nothing was. Raises AgentOutputTruncated or InvalidResponse."""
    if not data.strip():
        return None
    if size > len(data):
        raise AgentOutputTruncated(
            f"{name} printed {size} bytes; at most {len(data)} are read", details={"file": str(ending.stdout)}
        )
    try:
        answer = strict_json.parse(data)
    except strict_json.BadJson as bad:
        if data.lstrip().startswith(b"{") and not data.rstrip().endswith(b"}"):
            raise AgentOutputTruncated(
                f"the answer of {name} is incomplete: {bad}", details={"file": str(ending.stdout)}
            ) from None
        raise invalid(name, f"not JSON: {bad}", ending) from None
    if not isinstance(answer, dict):
        raise invalid(name, f"must be an object, is {strict_json.kind(answer)}", ending)
    return answer


def invalid(name: str, fault: str, ending: Ending) -> InvalidResponse:
    """The error for output in a form that this agent does not print."""
    details: dict[str, object] = {"wrong": fault, "file": str(ending.stdout), "exit_code": ending.exit_code}
    if errors := read_tail(ending.stderr):
        details["stderr"] = errors
    return InvalidResponse(f"the answer of {name} is not valid: {fault}", details=details)


def whole_number(value: object) -> int:
    """A reported count; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _ABSURD else 0


def schema_text(invocation: Invocation) -> str:
    """The job's `json_schema` as text."""
    return json.dumps(dict(invocation.agent.json_schema or {}), ensure_ascii=False)

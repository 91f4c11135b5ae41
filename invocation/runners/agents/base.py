"""What the agents' runners share: finding the program, the prompt, the environment, and what is kept of an answer."""

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

#: Of what an agent prints so much is read; its answer is a part of it.
OUTPUT_LIMIT = 16 * 1024 * 1024
#: No run takes so many turns or tokens.
_ABSURD = 10**12
#: So many characters of what it says about its failure decide what failure it is.
_JUDGED = 2_000
#: Where installers put agents, besides PATH, which is poor under cron.
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

#: How providers say that they are asked too much, or too often, for now.
_OVERLOADED = re.compile(
    r"overloaded|high demand|rate[ _]limit|too many requests|resource_exhausted|service unavailable"
)
_REFUSED = re.compile(
    r"(?:invalid api key|api key not valid|authentication|unauthorized|not logged in|please run /login)"
)
#: A number alone says nothing: addresses, times and ids hold such ones too.
_STATUS = re.compile(r"(?:status|error|code|http|\()[\": ]*([45]\d\d)\b")


class AgentRunner(Runner):
    """An agent's program, without anybody to talk to: the prompt comes on its standard input."""

    #: Who makes it, and how people call it.
    title = ""
    #: Fields of a job that the agent has no option for. Source: its `--help`.
    unsupported: tuple[str, ...] = ()
    stdin = "the prompt"
    success = "[agents.md](agents.md#what-counts-as-a-success)"
    #: Files of a target that say it is made for this agent.
    markers: tuple[str, ...] = ()
    #: Beginnings of the names of variables that the agent gets of ours.
    prefixes: tuple[str, ...] = ()

    @property
    def fits_when(self) -> str:  # type: ignore[override]
        """For the table of runners: which files of a target it asks for."""
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
            # A job that asks for it does not run, instead of running without it.
            if getattr(invocation.agent, field):
                raise AgentOptionUnsupported(
                    f"{self.name} has no way to obey {field}",
                    hint=f"Remove {field} from the job, or give it another runner.",
                    details={"field": field, "runner": self.name},
                )
        left_by = invocation.context.session_runner
        if invocation.context.session_id and left_by not in ("", self.name):
            # codex takes an id that it can't read for a wish to begin anew, and does not say so.
            raise lost(self.name, invocation, f"it was left by {left_by}")
        program = find_program(self.name, host)
        if program is None:
            looked = [str(folder) for folder in _folders(host)]
            hint = f"{self.install} {INSTALL_HINT}"
            message = f"no program {self.name} was found"
            raise RunnerNotFound(message, hint=hint, details={"program": self.name, "looked_at": looked})
        files = dict(self.files(invocation))
        argv = (program, *self.arguments(invocation), *invocation.agent.agent_args, *self.last(invocation))
        return Launch(argv, stdin=prompt_of(invocation), env=self.variables(invocation, program, host), files=files)

    @abstractmethod
    def arguments(self, invocation: Invocation) -> Iterator[str]:
        """The program's arguments, before those that the job adds."""

    def last(self, invocation: Invocation) -> Iterable[str]:  # noqa: ARG002 - a runner's form
        """What must stand behind those that the job adds."""
        return ()

    def files(self, invocation: Invocation) -> Mapping[str, str]:  # noqa: ARG002 - a runner's form
        """Files for the program to read, path and text."""
        return {}

    def wanted(self, name: str, variables: Mapping[str, str]) -> bool:  # noqa: ARG002 - a runner's form
        """Whether the agent gets this variable of ours."""
        return name.startswith(self.prefixes)

    def variables(self, invocation: Invocation, program: str, host: Host) -> dict[str, str]:
        """The agent's own variables and the proxies, from our environment or .env, and nothing more.

        The program's folder is in PATH: cron's is poor, and many agents are scripts for a `node` that was installed
        beside them. It stands at the end, and at the beginning if that `node` is there: another may be too old.
        """
        ours = host.variables
        known = {**ours, **invocation.env}
        found = {name: value for name, value in ours.items() if self.wanted(name, known)}
        found.update({name: value for name, value in ours.items() if name.upper() in _PROXIES})
        path = invocation.env.get("PATH") or ours.get("PATH") or os.defpath
        folder = os.path.dirname(program)
        own_node = "PATH" not in invocation.env and os.access(os.path.join(folder, "node"), os.X_OK)
        found["PATH"] = os.pathsep.join([folder, path] if own_node else [path, folder])
        # What the job says of itself wins.
        return {name: value for name, value in found.items() if name == "PATH" or name not in invocation.env}


def find_program(name: str, host: Host) -> str | None:
    """The path of an agent's program: in `PURUTO_CRON_AGENT_PATH`, PATH, then where installers put such things."""
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
        # A relative folder would depend on where a tick was started.
        if folder.is_absolute():
            yield folder


# --- what is asked ---


def prompt_of(invocation: Invocation) -> str:
    """The prompt of the job, behind what the last run said, and with what a heartbeat has to know."""
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


# --- what is answered ---


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
    more: Mapping[str, object] | None = None,
) -> Answer:
    """The answer of an agent that came to its end: its words, bounded, and whether they are what the job asked for."""
    total = session_usage or Usage()
    shown, whole = to_text(text.encode("utf-8", "replace"), RESULT_LIMIT, whole=True)
    result: dict[str, object] = {"agent": name, "text": shown, "session_id": session_id, **(more or {})}
    if not whole:
        result["text_truncated"] = True
        result["file"] = str(ending.stdout)
    if invocation.agent.json_schema is not None:
        result["structured_output"] = structured
    if not text.strip() and structured is None and not invocation.allow_empty_result:
        empty = Failure("INVALID_RESPONSE", f"{name} ended well, but said nothing", {"file": str(ending.stdout)})
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
    """The failure of an agent that says that it failed: overloaded, refused, or whatever it says.

    `status` is what it reported of its provider. `tells_why` is whether `said` are its own words about that, and not
    what a model answered.
    """
    kind = _kind(said if tells_why else "", status)
    details: dict[str, object] = {"agent": name, "said": said[:4096], "exit_code": ending.exit_code}
    if status is not None:
        details["api_error_status"] = status
    error = kind(f"{name} failed: {said[:400] or 'it does not say why'}", details=details)
    return Answer(failure=failure_of(error), usage=usage, session_id=session_id, text=said)


def _kind(said: str, status: int | None) -> type[AgentFailed]:
    words = said[:_JUDGED].lower()
    if status is None and (found := _STATUS.search(words)):
        status = int(found[1])
    if status in (429, 503, 529) or (status is None and _OVERLOADED.search(words)):
        return AgentOverloaded
    # Google refuses a wrong key with 400.
    if status in (401, 403) or (status in (None, 400) and _REFUSED.search(words)):
        return AgentRefused
    return AgentFailed


def failure_of(error: AgentFailed | InvalidResponse) -> Failure:
    """An error of ours as the failure of an answer, which also carries what was used."""
    told = error.as_dict()
    details = told["details"]
    return Failure(error.code, error.message, dict(details) if isinstance(details, Mapping) else {})


def lost(name: str, invocation: Invocation, said: str) -> SessionLost:
    """The error for a session that the agent does not know any more."""
    session = invocation.context.session_id
    return SessionLost(f"{name} does not know the session {session}", details={"session_id": session, "said": said})


def parse_object(name: str, data: bytes, size: int, ending: Ending) -> dict[str, object] | None:
    """The one JSON object that was printed; None when there is nothing. Raises the errors of a wrong answer."""
    if not data.strip():
        return None
    if size > len(data):
        raise AgentOutputTruncated(
            f"{name} printed {size} bytes; at most {len(data)} are read", details={"file": str(ending.stdout)}
        )
    try:
        found = strict_json.parse(data)
    except strict_json.BadJson as bad:
        if data.lstrip().startswith(b"{") and not data.rstrip().endswith(b"}"):
            raise AgentOutputTruncated(
                f"the answer of {name} breaks off: {bad}", details={"file": str(ending.stdout)}
            ) from None
        raise invalid(name, f"not JSON: {bad}", ending) from None
    if not isinstance(found, dict):
        raise invalid(name, f"must be an object, is {strict_json.kind(found)}", ending)
    return found


def invalid(name: str, wrong: str, ending: Ending) -> InvalidResponse:
    """The error for an answer that is not what this agent prints."""
    details: dict[str, object] = {"wrong": wrong, "file": str(ending.stdout), "exit_code": ending.exit_code}
    if errors := read_tail(ending.stderr):
        details["stderr"] = errors
    return InvalidResponse(f"{name} did not answer as it should: {wrong}", details=details)


def whole_number(value: object) -> int:
    """A count that was reported; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _ABSURD else 0


def schema_text(invocation: Invocation) -> str:
    """The job's `json_schema` as text."""
    return json.dumps(dict(invocation.agent.json_schema or {}), ensure_ascii=False)

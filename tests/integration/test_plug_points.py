"""A new kind is one new file, a new setting, code or field one entry: each tried in a copy of the program."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.workspace import PROJECT, Workspace

pytestmark = pytest.mark.process

RUNNER = '''
    """`shout`: says the prompt in capitals."""

    from core.invocation import Answer
    from invocation.runners.base import RESULT_LIMIT, Launch, Runner, read_head


    class ShoutRunner(Runner):
        name = "shout"
        fits_when = "the target has a file `SHOUT`"
        stdin = "empty"
        success = "always"

        def fits(self, invocation, folder):
            return (folder / "SHOUT").is_file()

        def launch(self, invocation, folder, host):
            return Launch(("printf", "%s", invocation.request.prompt.upper()))

        def read(self, invocation, ending):
            return Answer({"said": read_head(ending.stdout, RESULT_LIMIT)[0].decode()})


    KIND = ShoutRunner()
'''

AGENT = '''
    """`mime`: an agent that answers with the prompt that it was given."""

    from core.invocation import Usage
    from invocation.runners.agents.base import AgentRunner
    from invocation.runners.agents.outcomes import conclude


    class MimeRunner(AgentRunner):
        name = "mime"
        title = "A mime"
        markers = ("MIME.md",)
        install = "apt-get install mime."
        unsupported = ("max_turns",)

        def arguments(self, invocation):
            yield "--quietly"

        def take(self, event, report):
            if "said" not in event:
                return False
            report.last, report.text = event, event["said"]
            return True

        def usage(self, report):
            return Usage()

        def judge(self, invocation, ending, report):
            return conclude(self.name, invocation, ending, report)


    KIND = MimeRunner()
'''

CHANNEL = '''
    """`diary`: a file in the home folder with the names of the jobs that something happened to."""

    from pathlib import Path

    from channels.base import PlainChannel


    class DiaryChannel(PlainChannel):
        name = "diary"

        def __init__(self, path):
            self._path = path

        @classmethod
        def make(cls, around):
            return cls(Path(around.settings.variables["HOME"]) / "diary")

        def send(self, events):
            with self._path.open("a") as file:
                file.writelines(f"{event.payload['job_id']}\\n" for event in events)

        def target(self):
            return {"diary": str(self._path)}


    KIND = DiaryChannel
'''

GATE = '''
    """The gate of the lamp: closed for jobs whose environment says that it is out."""

    from core.run import Refusal
    from gates.base import Gate


    class LampGate(Gate):
        code = "LAMP_OUT"
        fields = ("env",)
        meaning = "the lamp is out"
        fix = "light it"

        def verdict(self, state, now, facts):
            if state.job.env.get("LAMP") != "out":
                return None
            return Refusal(self.code, "its lamp is out", facts.day_of(state.timezone, now), {})


    KIND = LampGate()
'''

COMMAND = '''
    """`greet-all`."""

    import click

    from commands.view import show

    PLACE = ("Looking", 35)


    @click.command("greet-all")
    @click.pass_obj
    def command(app):
        """Show a greeting."""
        show(app, {"status": "ok", "greeting": f"Hello from {app.settings.root.name}"})
'''


ERROR = '''
    class LampBroken(InvocationError):
        """The lamp of the target is broken."""

        code = "LAMP_BROKEN"
        retried = False
        fix = "put another one in"
'''


@pytest.fixture
def copy(workspace: Workspace) -> Workspace:
    """A copy of the program. Each start is a fresh interpreter: a fork would have the kinds of this program."""
    workspace.add_target()
    return workspace


def _drop(copy: Workspace, path: str, text: str) -> None:
    assert not (PROJECT / path).exists()
    (copy.root / path).write_text(dedent(text).lstrip(), encoding="utf-8")


def _edit(copy: Workspace, path: str, before: str, entry: str) -> None:
    """Adds an entry before the one place where `before` stands. The copy's files are links: the file is made anew."""
    file = copy.root / path
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1
    file.unlink()
    file.write_text(text.replace(before, entry + before), encoding="utf-8")


def _documents(copy: Workspace) -> dict[str, str]:
    """The generated documents of the copy, by their names, as `make docs` writes them there."""
    for name in ("docs", "tools"):
        shutil.copytree(PROJECT / name, copy.root / name)
    for path in (*PROJECT.glob("README*.md"), PROJECT / ".env.example"):
        shutil.copy(path, copy.root)
    command = [sys.executable, str(copy.root / "tools" / "generate_docs.py")]
    done = subprocess.run(command, cwd="/", env=copy.environ, capture_output=True, text=True, check=True)
    written = [line.removeprefix("wrote ") for line in done.stderr.splitlines()]
    return {name: (copy.root / name).read_text(encoding="utf-8") for name in written}


def _start(copy: Workspace, *jobs: dict[str, object]) -> None:
    copy.write_jobs(*jobs)
    copy.json("init-db", fresh=True)
    copy.json("sync-jobs", fresh=True)


def test_a_runner_is_one_file(copy: Workspace) -> None:
    _drop(copy, "invocation/runners/shout.py", RUNNER)
    (copy.home / "puruto-loud").mkdir()
    (copy.home / "puruto-loud" / "SHOUT").touch()
    _start(copy, {"runner": "shout", "prompt": "hello"}, {"puruto_target": "puruto-loud", "prompt": "found"})
    for job_id, said in (("job-0", "HELLO"), ("job-1", "FOUND")):
        answer = copy.json("run-now", job_id, fresh=True)
        assert answer["result"]["response"]["result"] == {"said": said}
    assert [row["runner"] for row in copy.runs()] == ["shout", "shout"]
    copy.write_jobs({"runner": "shout", "model": "large"})
    (problem,) = copy.json("sync-jobs", code=2, fresh=True)["error"]["details"]["problems"]
    assert (problem["code"], problem["path"]) == ("CONFLICT", "jobs[0].model")
    assert problem["message"].endswith("shout")
    assert "| `shout` | the target has a file `SHOUT` |" in _documents(copy)["docs/targets.md"]


def test_an_agent_is_one_file(copy: Workspace) -> None:
    _drop(copy, "invocation/runners/agents/mime.py", AGENT)
    target = copy.add_target("puruto-quiet", invoke=None)
    (target / "MIME.md").touch()
    program = copy.home / "mime"
    program.write_text("""#!/bin/sh\nprintf '{"said": "%s"}' "$(cat)"\n""")
    program.chmod(0o755)
    copy.environ["PURUTO_CRON_AGENT_PATH"] = str(copy.home)
    _start(copy, {"puruto_target": "puruto-quiet", "prompt": "say nothing"})
    result = copy.json("run-now", "job-0", fresh=True)["result"]["response"]["result"]
    assert (result["agent"], result["text"]) == ("mime", "say nothing")
    copy.write_jobs({"runner": "mime", "max_turns": 3})
    (problem,) = copy.json("sync-jobs", code=2, fresh=True)["error"]["details"]["problems"]
    assert (problem["path"], "mime" in problem["message"]) == ("jobs[0].max_turns", True)
    copy.environ["PURUTO_CRON_AGENTS"] = "mime"
    assert copy.json("status", fresh=True)["status"] == "ok"
    documents = _documents(copy)
    assert "| `mime` | `MIME.md` | A mime, `mime` | `apt-get install mime` |" in documents["docs/agents.md"]
    assert '"mime"' in documents["docs/jobs.schema.json"]


def test_a_channel_is_one_file(copy: Workspace) -> None:
    _drop(copy, "channels/diary.py", CHANNEL)
    _start(copy, {"notify_channel": "diary"}, {"notify_channel": "none"})
    copy.make_due()
    assert len(copy.json("tick", fresh=True)["results"]) == 2
    diary = Path(copy.environ["HOME"]) / "diary"
    assert diary.read_text() == "job-0\n"
    assert sorted(event["job_id"] for event in copy.events()) == ["job-0", "job-1"]
    status = copy.json("status", fresh=True)
    assert status["notification_targets"]["diary"] == str(diary)
    assert status["events"]["waiting"] == []
    diary.unlink()
    diary.mkdir()
    result = copy.json("run-now", "job-0", fresh=True)
    assert result["events_waiting"] == [{"channel": "diary", "error": "Is a directory"}]
    assert '"diary"' in _documents(copy)["docs/jobs.schema.json"]


def test_a_gate_is_one_file(copy: Workspace) -> None:
    _drop(copy, "gates/lamp.py", GATE)
    _start(copy, {"env": {"LAMP": "out"}}, {"env": {"LAMP": "on"}})
    copy.make_due()
    report = copy.json("tick", fresh=True)
    assert [row["job_id"] for row in report["results"]] == ["job-1"]
    assert [row["code"] for row in report["written_off"]] == ["LAMP_OUT"]
    assert [row["status"] for row in copy.runs("job-0")] == ["skipped"]
    assert [event["error"]["code"] for event in copy.events() if "error" in event] == ["LAMP_OUT"]
    refused = copy.json("run-now", "job-0", code=1, fresh=True)["error"]
    assert (refused["code"], refused["details"]["reason"]) == ("GATE_CLOSED", "LAMP_OUT")
    assert copy.json("dry-run", "job-0", fresh=True)["gate"]["code"] == "LAMP_OUT"
    assert "| `LAMP_OUT` | the lamp is out | light it |" in _documents(copy)["docs/errors.md"]


def test_a_command_is_one_file(copy: Workspace) -> None:
    _drop(copy, "commands/greet_all.py", COMMAND)
    assert copy.json("greet-all", fresh=True) == {"status": "ok", "greeting": f"Hello from {copy.root.name}"}
    listed = [line.split() for line in copy.run("--help", fresh=True).stdout.decode().splitlines()]
    names = [words[0] for words in listed if len(words) > 1]
    assert names[names.index("greet-all") - 1] == "list"
    near = copy.json("great-all", code=2, fresh=True)["error"]["details"]
    assert near["hint"] == "Did you mean greet-all?"
    assert "### greet-all" in _documents(copy)["docs/commands.md"]


def test_a_setting_is_one_entry(copy: Workspace) -> None:
    entry = 'lamp_sec: int = setting("PURUTO_CRON_LAMP_SECONDS", "integer", "7", "The lamp is on so long.", 1, 60)'
    _edit(copy, "config/variables.py", "    # fmt: on\n", f"    {entry}\n")
    _drop(copy, "commands/greet_all.py", COMMAND.replace("app.settings.root.name", "app.settings.lamp_sec"))
    assert copy.json("greet-all", fresh=True)["greeting"] == "Hello from 7"
    copy.environ["PURUTO_CRON_LAMP_SECONDS"] = "9"
    assert copy.json("greet-all", fresh=True)["greeting"] == "Hello from 9"
    wrong = copy.json("greet-all", code=2, env={"PURUTO_CRON_LAMP_SECONDS": "61"}, fresh=True)
    assert "must be a whole number from 1 to 60" in wrong["error"]["message"]
    _start(copy, {"schedule": "0 0 29 2 *"})
    copy.json("tick", fresh=True)
    seen = copy.sql("SELECT value FROM state WHERE key = 'configuration_seen'")[0]["value"]
    assert "PURUTO_CRON_LAMP_SECONDS='9'" in seen.splitlines(), "a tick sees when it changes"
    documents = _documents(copy)
    assert "\n#PURUTO_CRON_LAMP_SECONDS=7\n" in documents[".env.example"]
    assert any("| `PURUTO_CRON_LAMP_SECONDS` | `7` |" in text for text in documents.values())


def test_an_error_code_is_one_class(copy: Workspace) -> None:
    _edit(copy, "core/invocation_errors.py", "class IpcError(InvocationError):\n", dedent(ERROR).lstrip() + "\n\n")
    text = _documents(copy)["docs/errors.md"]
    assert "| `LAMP_BROKEN` | no | the lamp of the target is broken | put another one in |" in text


def test_a_field_of_a_job_is_one_entry(copy: Workspace) -> None:
    entry = '    nice: Annotated[int, Ge(0), Le(19)] = 0\n    """How much the process gives way to others."""\n\n'
    _edit(copy, "core/job.py", "    model: Annotated[str, MinLen(1), MaxLen(128)] | None = None\n", entry)
    _start(copy)
    added = copy.json("register-job", "lamp", "--puruto-target", "puruto-target", "--schedule", "@daily",
                      "--prompt", "x", "--nice", "7", fresh=True)  # fmt: skip
    assert added["entry"]["nice"] == 7
    assert '"nice":7' in copy.sql("SELECT definition_json FROM jobs")[0]["definition_json"]
    wrong = copy.json("edit-job", "lamp", "--nice", "20", code=2, fresh=True)["error"]["details"]["problems"][0]
    assert (wrong["code"], wrong["message"]) == ("OUT_OF_RANGE", "must be at most 19, not 20")
    documents = _documents(copy)
    assert '"nice": {' in documents["docs/jobs.schema.json"]
    assert "| `nice` | whole number, 0 to 19 | `0` | How much the process gives way to others. |" in "".join(
        documents.values()
    )

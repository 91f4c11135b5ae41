"""What reaches a child, what a child can reach, and what is masked: with real runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support_machine import prepare, shell, target_folder
from tests.workspace import Workspace, first_line

pytestmark = pytest.mark.process

ODD = [
    "plain",
    "two\nlines and a tab\t",
    "$HOME `id` $(id) ; rm -rf / & | > < * ? ~ ! # % ^",
    "'single' \"double\" \\back\\slash\\",
    "--leading dashes",
    "-rf",
    "emoji 🦆, ñandú, 漢字, \u202eright to left",
    '{"json": [1, null]}',
    "x" * 100_000,
]
DUMP = "import json, os, sys; json.dump({'argv': sys.argv[1:], 'env': dict(os.environ)}, open('seen', 'w'))"
ECHO_INVOKE = f"""{first_line(sys.executable)}import json, sys
request = json.load(sys.stdin)
open("seen", "w", encoding="utf-8").write(request["prompt"])
print(json.dumps({{"request_id": request["request_id"], "correlation_id": request["correlation_id"],
                  "status": "ok", "duration_ms": 1, "result": {{"summary": "ok"}}}}))
"""


def seen(workspace: Workspace) -> str:
    return (target_folder(workspace) / "seen").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_arguments_reach_a_command_byte_for_byte(workspace: Workspace, text: str) -> None:
    text = text[:30_000]
    prepare(workspace, {"schedule": "@yearly", "command": [sys.executable, "-c", DUMP, text, "", text]})
    assert workspace.json("run-now", "job-0")["status"] == "ok"
    assert json.loads(seen(workspace))["argv"] == [text, "", text]


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_prompts_reach_an_invoke_byte_for_byte(workspace: Workspace, text: str) -> None:
    workspace.add_target(invoke=ECHO_INVOKE)
    workspace.ready({"schedule": "@yearly", "prompt": text})
    assert workspace.json("run-now", "job-0")["status"] == "ok"
    assert seen(workspace) == text


@pytest.mark.parametrize("field", ["prompt", "command"])
def test_a_nul_is_refused(workspace: Workspace, field: str) -> None:
    workspace.json("init-db")
    workspace.write_jobs({"command": ["true", "a\0b"]} if field == "command" else {"prompt": "a\0b"})
    assert workspace.json("sync-jobs", code=2)["error"]["code"] == "JOBS_FILE_INVALID"


def test_nothing_of_our_environment_reaches_a_child_but_what_is_listed(workspace: Workspace) -> None:
    ours = {f"STRAY_{n}": "x" for n in range(50)} | {
        "AWS_SECRET_ACCESS_KEY": "s3cr3t-aws-key", "LD_PRELOAD_NOT": "x", "PYTHONPATH_NOT": "x", "SSH_AUTH_SOCK": "/s",
        "PURUTO_CRON_MAX_RUNNING": "3", "DB_PATH": str(workspace.database), "BASH_ENV": "/x", "GIVEN": "yes",
    }  # fmt: skip
    (workspace.root / ".env").write_text("FROM_FILE=1\nSECRET_IN_FILE=2\n")
    command = [sys.executable, "-ISc", DUMP]
    prepare(workspace, {"schedule": "@yearly", "command": command, "env": {"OWN": "1"}, "allow_env": ["GIVEN", "NONE"]})
    assert workspace.json("run-now", "job-0", env=ours)["status"] == "ok"
    listed = {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "TZ", "TMPDIR", "OWN", "GIVEN", "LC_CTYPE"}
    found = {name for name in json.loads(seen(workspace))["env"] if not name.startswith("PURUTO_CRON_")}
    assert found <= listed
    assert {"OWN", "GIVEN", "HOME", "PATH"} <= found
    marks = {name for name in json.loads(seen(workspace))["env"] if name.startswith("PURUTO_CRON_")}
    assert "PURUTO_CRON_MAX_RUNNING" not in marks


FORGED: list[dict[str, Any]] = [
    {"job_id": "other", "run_id": "other-1", "ts": "1970", "attempt": 99, "status": "error", "error": {"code": "X"}},
    {"text": "line\nline\r\n\x85\u2028\u2029\x00"},
    {"lone": "\ud800"},
    {"n": 10**308, "f": 1e308},
    {"": {"": [[[[[[]]]]]]}},
]


@pytest.mark.parametrize("result", FORGED, ids=range(len(FORGED)))
@pytest.mark.parametrize("status", ["ok", "error"])
def test_an_answer_forges_no_key_of_ours_and_breaks_no_line(
    workspace: Workspace, result: dict[str, Any], status: str
) -> None:
    answer = f"""{first_line(sys.executable)}import json, sys
request = json.load(sys.stdin)
body = {result!r}
more = {{"result": body}} if {status!r} == "ok" else {{"error": {{"code": "A", "message": "b", "details": body}}}}
print(json.dumps({{"request_id": request["request_id"], "correlation_id": request["correlation_id"],
                  "status": {status!r}, "duration_ms": 1, **more}}))
"""
    workspace.add_target("puruto-telegram", invoke=None)
    workspace.add_target(invoke=answer)
    workspace.ready({"schedule": "@yearly"})
    told = workspace.json("run-now", "job-0", code=0 if status == "ok" else 1)
    (row,) = workspace.runs()
    (event,) = workspace.events()
    assert (event["job_id"], event["run_id"]) == ("job-0", row["run_id"]) == (told["job_id"], told["run_id"])
    assert event["ts"] == row["finished_at"]
    assert set(event) <= {"ts", "job_id", "run_id", "attempt", "attempts", "result", "error", "timezone"}
    assert row["status"] == status
    for path in (workspace.events_file, workspace.home / "puruto-telegram" / "inbox" / "cron-events.jsonl"):
        text = path.read_bytes().decode("utf-8")
        assert text.count("\n") == 1
        assert len(text.splitlines()) == 1


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "/etc", ".hidden", "-rf", "x" * 129, "a\nb", "a b", "ä"])
@pytest.mark.parametrize("field", ["job_id", "puruto_target"])
def test_a_name_is_never_a_path(workspace: Workspace, field: str, name: str) -> None:
    workspace.json("init-db")
    workspace.write_jobs({field: name})
    refused = workspace.json("sync-jobs", code=2)["error"]
    assert [problem["path"] for problem in refused["details"]["problems"]] == [f"jobs[0].{field}"]


# --- links ---


@pytest.mark.parametrize("place", ["job folder", "events", "mirror", "last tick"])
def test_a_link_in_the_place_of_ours_is_not_followed(workspace: Workspace, tmp_path: Path, place: str) -> None:
    workspace.add_target("puruto-telegram", invoke=None)
    prepare(workspace, shell("echo hello"))
    treasure = tmp_path / "treasure"
    link = {
        "job folder": workspace.root / "runs" / "job-0",
        "events": workspace.events_file,
        "mirror": workspace.home / "puruto-telegram" / "inbox" / "cron-events.jsonl",
        "last tick": workspace.root / "db" / "cron.db.last_tick",
    }[place]
    link.parent.mkdir(exist_ok=True, parents=True)
    link.unlink(missing_ok=True)
    if place == "job folder":
        treasure.mkdir()
    else:
        treasure.write_text("gold")
    link.symlink_to(treasure)
    workspace.make_due()
    report = workspace.json("tick")
    (row,) = workspace.runs()
    if place == "job folder":
        assert list(treasure.iterdir()) == []
        assert (row["status"], report["results"][0]["error"]["code"]) == ("error", "IPC_ERROR")
        assert "is a symbolic link" in report["results"][0]["error"]["message"]
    else:
        assert treasure.read_text() == "gold"
        assert row["status"] == "ok"
    waiting = {"events": ["local"], "mirror": ["telegram"]}.get(place, [])
    assert [entry["channel"] for entry in report["events"]["waiting"]] == waiting
    assert all("is a link" in entry["last_error"] for entry in report["events"]["waiting"])
    link.unlink()
    workspace.make_due(minutes_ago=-1)
    assert workspace.json("tick")["events"]["waiting"] == []
    assert len(workspace.events()) == 1


# --- secrets ---

SECRETS = {
    "BANK_TOKEN": "tok-1234-abcd", "DB_PASSWORD": "pa\"ss\nword+/x", "MY_LOGIN": "ana:s3same-open",
    "KEYBOARD": "querty-layout", "API_KEY": "/usr/share/keys/one", "GIVEN": "given-by-the-job",
}  # fmt: skip


@pytest.mark.parametrize("how", ["ok", "error", "interrupted"])
def test_secrets_reach_no_event_no_row_no_answer_and_no_shown_log(workspace: Workspace, how: str) -> None:
    lines = "".join(f"{name}={value!r}\n" if "\n" not in value else "" for name, value in SECRETS.items())
    (workspace.root / ".env").write_text(lines + "PURUTO_CRON_REDACT=MY_LOGIN\n")
    (target_folder_made(workspace) / "leak").write_text("\n".join(SECRETS.values()))
    end = {"ok": "true", "error": "cat leak >&2; exit 3", "interrupted": "kill -9 $PPID; sleep 60"}[how]
    prepare(workspace, shell(f"cat leak; {end}", allow_env=["GIVEN"], env={"OWN_SECRET": "own-s3cret-value"}))
    env = {"DB_PASSWORD": SECRETS["DB_PASSWORD"]}
    workspace.make_due()
    workspace.run("tick", env=env)
    workspace.sql("UPDATE runs SET lease_expires_at = '2020-01-01T00:00:00+00:00' WHERE status = 'running'")
    workspace.run("tick", env=env)
    (row,) = workspace.runs()
    assert row["status"] == how
    told = [
        json.dumps(workspace.events()),
        json.dumps(row),
        workspace.run("logs", "--run", row["run_id"], env=env).stdout.decode(),
        workspace.run("status", env=env).stdout.decode(),
    ]
    hidden = [SECRETS[name] for name in ("BANK_TOKEN", "DB_PASSWORD", "MY_LOGIN", "GIVEN")]
    for text in told:
        for secret in hidden:
            assert secret not in text
            assert json.dumps(secret)[1:-1] not in text
            assert json.dumps(json.dumps(secret)[1:-1])[1:-1] not in text
    assert SECRETS["KEYBOARD"] in told[2], "what does not look like a secret is shown"
    assert SECRETS["API_KEY"] in told[2], "neither does a path"
    assert "***" in told[0] + told[2]


def test_a_secret_in_a_jobs_env_is_not_shown_with_the_job(workspace: Workspace) -> None:
    prepare(workspace, shell("true", env={"OWN_SECRET": "own-s3cret-value", "MODE": "plain-text-value"}))
    for command in ("list", "status"):
        shown = workspace.run(command).stdout.decode()
        assert "own-s3cret-value" not in shown
        assert "plain-text-value" in shown


def test_a_secret_of_today_is_masked_in_what_was_told_yesterday(workspace: Workspace) -> None:
    prepare(workspace, shell("echo open-sesame-1; exit 3"))
    run_id = workspace.json("run-now", "job-0", code=1)["run_id"]
    assert b"open-sesame-1" in workspace.run("logs", "--run", run_id).stdout
    (workspace.root / ".env").write_text("MY_TOKEN=open-sesame-1\n")
    assert b"open-sesame-1" not in workspace.run("logs", "--run", run_id).stdout


def test_an_error_of_a_command_masks_too(workspace: Workspace) -> None:
    prepare(workspace, shell("true"))
    (workspace.root / ".env").write_text("MY_TOKEN=open-sesame-1\n")
    refused = workspace.json("run-now", "open-sesame-1", code=1)
    assert refused["error"]["code"] == "JOB_NOT_FOUND"
    assert "open-sesame-1" not in json.dumps(refused)


def target_folder_made(workspace: Workspace) -> Path:
    folder = target_folder(workspace)
    folder.mkdir(exist_ok=True)
    return folder


def test_a_fault_in_a_setting_that_may_be_a_secret_does_not_show_it(workspace: Workspace) -> None:
    (workspace.root / ".env").write_text("PURUTO_CRON_REDACT=not a name s3cr3t\nMY_TOKEN=abc\n")
    refused = workspace.json("status", code=2)["error"]
    assert [problem["code"] for problem in refused["details"]["problems"]] == ["BAD_NAME"]


def test_no_shell_is_anywhere(workspace: Workspace) -> None:
    for path in workspace.root.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for word in ("shell=True", "os.system(", "popen(", "getoutput("):
            assert word not in text, (path, word)

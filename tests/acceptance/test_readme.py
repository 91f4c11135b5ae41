"""The README, word for word, in a fresh clone: its demo, its jobs, an agent, Telegram, and Debian's cron."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from db import SCHEMA_VERSION
from tests.acceptance.conftest import stranger_environ
from tests.support_provider import Say, provider
from tests.support_real_agents import CLIS, PROGRAMS, reason_without
from tests.support_telegram import TOKEN, BotApi, bot_api
from tests.workspace import PROJECT, ended, needs, wait_for

# All of them need the clone with its environment, which one worker makes once.
pytestmark = [pytest.mark.full, pytest.mark.xdist_group("clone"), needs("bash", "git", "make")]

#: Runs in mounts of its own, so that no crontab of this machine is read, changed or run.
PRIVATE_CRON = """
set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/spool/cron
mkdir -m 1730 /var/spool/cron/crontabs
chgrp crontab /var/spool/cron/crontabs
touch /run/none
mount --bind /run/none /etc/crontab
cd "$1"
set +e
[ ! -e .venv/bin/activate ] || . .venv/bin/activate
eval "$2"
set -e
crontab -l
exec cron -f
"""


def blocks(heading: str) -> list[str]:
    """The indented blocks of a section of the README."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    return blocks_in(text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0])


def blocks_in(section: str) -> list[str]:
    """The indented blocks of a text."""
    found = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", section, re.MULTILINE)
    return [re.sub(r"^ {4}", "", block, flags=re.MULTILINE).strip("\n") for block in found]


def shell(clone: Path, text: str) -> str:
    """Runs lines as typed into a shell of the activated environment."""
    script = f"set -e\n[ ! -e .venv/bin/activate ] || . .venv/bin/activate\n{text}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=clone,
        env=stranger_environ(clone.parent.parent),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, (text, done.stdout, done.stderr)
    return done.stdout


def test_make_demo_shows_both_siblings_at_work_from_an_empty_folder(demo: str, clone: Path) -> None:
    assert '"due_jobs": [\n    "sample-financial-weekly"\n  ]' in demo
    assert re.search(r"\$ python3 main\.py run-now daily-data-backup", demo)
    events = clone / ".demo/purutos/puruto-cron/notifications/events.jsonl"
    told = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    assert [event["job_id"] for event in told] == ["sample-financial-weekly", "daily-data-backup"]
    summary = told[0]["result"]["response"]["result"]["summary"]
    assert re.search(r"\b(anomalías|movimientos)\b", summary)
    assert summary in demo
    mirrored = clone / ".demo/purutos/puruto-telegram/inbox/cron-events.jsonl"
    assert mirrored.read_bytes() == events.read_bytes()
    assert "│ ✅ *sample-financial-weekly*\n" in demo
    assert '"delivered": 2,' in demo
    forwarded = clone / ".demo/purutos/puruto-telegram/db/cron-forwarded.jsonl"
    assert forwarded.read_bytes() == events.read_bytes()
    assert list((clone / ".demo/purutos/puruto-data/backups").glob("*.tar.gz"))


def test_make_demo_touches_nothing_outside_its_folder(demo: str, clone: Path) -> None:
    assert demo
    assert sorted(path.name for path in (clone / "db").iterdir()) == [".gitkeep"]
    assert sorted(path.name for path in (clone / "notifications").iterdir()) == [".gitkeep"]
    assert [path.name for path in clone.parent.iterdir()] == ["puruto-cron"]


@pytest.fixture(scope="module")
def first_job(demo: str, clone: Path) -> list[str]:
    """The README's own section, done up to its crontab line; what each block printed."""
    assert demo
    said = []
    for block in blocks("A first job"):
        if block.startswith("~/purutos/") or "crontab" in block:
            continue
        if block.startswith("{"):
            # A person would wait five minutes for the first run; this test waits one.
            (clone / ".jobs.json").write_text(block.replace("*/5 *", "* *"), encoding="utf-8")
            continue
        said.append(shell(clone, block))
    return said


def test_the_readme_leads_from_an_empty_folder_to_a_job_that_ran(first_job: list[str], clone: Path) -> None:
    answers = [json.loads(line) for text in first_job for line in text.splitlines() if line.startswith("{")]
    init, sync, run, logs = answers
    assert (init["schema_version"], init["created"]) == (SCHEMA_VERSION, True)
    assert sync["added"] == ["hello"]
    assert len(sync["next"]["hello"]["instants"]) == 3
    assert run["status"] == "ok"
    assert re.fullmatch(r"hello, it is \d\d:\d\d\n", run["result"]["response"]["result"]["stdout"])
    assert [event["run_id"] for event in logs["events"]] == [run["run_id"]]
    console = shell(clone, "puruto-cron list")
    assert json.loads(console)["jobs"][0]["job_id"] == "hello"


def test_each_command_of_the_page_on_schedules_works(first_job: list[str], clone: Path) -> None:
    assert first_job
    page = (PROJECT / "docs" / "schedules.md").read_text(encoding="utf-8")
    lines = [line for block in blocks_in(page) for line in block.splitlines()]
    assert len(lines) > 8
    answers = [json.loads(line) for line in shell(clone, "\n".join(lines)).splitlines()]
    assert [answer["status"] for answer in answers] == ["ok"] * len(lines)


def test_the_guide_to_a_first_job_is_done_word_for_word(first_job: list[str], clone: Path) -> None:
    assert first_job
    text = (PROJECT / "docs" / "guides" / "first-job.md").read_text(encoding="utf-8")
    setup, *steps, last = blocks_in(text)
    assert "make install" in setup
    said = [shell(clone, block) for block in steps]
    run = json.loads([line for line in said[-1].splitlines() if line.startswith("{")][1])
    assert run["result"]["response"]["result"]["stdout"].endswith("files\n")
    assert "weekday-report" in said[-1].splitlines()[-1], "the table of its history"
    # The last one also changes the crontab, and looks whether it did.
    resumed = json.loads(shell(clone, last.splitlines()[0]))
    assert (resumed["entry"]["enabled"], len(resumed["next"]["instants"])) == (True, 3)
    assert last.splitlines()[1:] == ["python3 main.py install-crontab", "python3 main.py doctor"]


# --- an agent, told on Telegram ---


@pytest.fixture(scope="module")
def telegram() -> Iterator[BotApi]:
    with bot_api() as server:
        yield server


@pytest.fixture(scope="module")
def agent_job(first_job: list[str], clone: Path) -> Iterator[list[dict[str, Any]]]:
    """The README's section, done by the real program against a stand-in for its provider; what each command printed."""
    assert first_job
    claude = CLIS["claude"]
    if reason := reason_without(claude):
        pytest.skip(reason)
    with provider() as server:
        server.answers.append(Say("Nothing odd but a fuel bill of 214.30 EUR."))
        lines = {
            claude.key_name: claude.key,
            "ANTHROPIC_BASE_URL": server.url,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "PURUTO_CRON_AGENT_PATH": str(PROGRAMS),
        }
        (clone / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()), encoding="utf-8")
        prepare, commands = blocks("An agent job: Claude, every Friday at nine")
        shell(clone, prepare)
        said = [json.loads(shell(clone, line)) for line in commands.splitlines()]
        (asked,) = server.asked
        assert "Read movements.csv and tell what is odd about this week" in asked.said
        assert "movements.csv holds the bank movements of the week." in json.dumps(asked.body)
        yield said


def test_the_readme_leads_to_a_claude_job_on_friday_at_nine(agent_job: list[dict[str, Any]], clone: Path) -> None:
    registered, rehearsed, run, resumed = agent_job
    instants = [instant["local"] for instant in registered["next"]["instants"]]
    assert all(re.search(r"T09:00:00\+0[12]:00$", text) for text in instants)
    assert {datetime.fromisoformat(text).weekday() for text in instants} == {4}
    assert (rehearsed["problem"], rehearsed["runner"]) == (None, "claude")
    assert "ANTHROPIC_API_KEY" in rehearsed["environment"]
    assert CLIS["claude"].key not in json.dumps(agent_job)
    assert run["result"]["response"]["result"]["text"] == "Nothing odd but a fuel bill of 214.30 EUR."
    assert resumed["entry"]["enabled"] is True
    (job,) = [job for job in json.loads(shell(clone, "python3 main.py list"))["jobs"] if "anomalies" in job["job_id"]]
    assert job["next_run"]["local"] == instants[0]


@pytest.fixture(scope="module")
def told(first_job: list[str], clone: Path, telegram: BotApi) -> dict[str, Any]:
    """The README's section, but for its crontab line; what the drain printed."""
    assert first_job
    install, use = blocks("Notifications on Telegram")
    shell(clone, install)
    env = clone.parent / "puruto-telegram" / ".env"
    text = env.read_text(encoding="utf-8").replace("BOT_TOKEN=\n", f"BOT_TOKEN={TOKEN}\n")
    env.write_text(text.replace("CHAT_ID=\n", "CHAT_ID=7\n") + f"PURUTO_TELEGRAM_API_URL={telegram.url}\n")
    *lines, crontab = use.splitlines()
    assert crontab == "python3 main.py install-crontab --telegram"
    answers = [json.loads(shell(clone, line)) for line in lines]
    found: dict[str, Any] = answers[-1]
    return found


def test_the_readme_leads_to_a_message_on_telegram(told: dict[str, Any], telegram: BotApi) -> None:
    assert told["status"] == "ok"
    assert told["delivered"] == told["processed"] >= 1
    assert any("hello, it is" in text for text in telegram.texts)


# --- cron ---


@contextmanager
def private_cron(clone: Path, install: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Debian's cron in the foreground, with the crontab that `install` writes and no other; ended by its pid."""
    environ = {**stranger_environ(clone.parent.parent), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    with log.open("wb") as output:
        command = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "bash",
            "-c",
            PRIVATE_CRON,
            "cron",
            str(clone),
            install,
        ]
        with ended(subprocess.Popen(command, env=environ, stdout=output, stderr=output, stdin=subprocess.DEVNULL)) as p:
            yield p


def reason_without_cron() -> str:
    """Why this machine can't run the test, or ""."""
    missing = [name for name in ("cron", "crontab", "unshare") if shutil.which(name, path="/usr/sbin:/usr/bin") is None]
    if os.geteuid() != 0:
        return "needs root, for mounts of its own"
    if missing:
        return f"needs {' and '.join(missing)}; on Debian: apt-get install cron"
    trial = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/run"]
    if subprocess.run(trial, capture_output=True).returncode:
        return "needs the right to mount"
    return ""


def test_debians_cron_runs_a_due_job_in_the_next_minute_and_has_it_told(
    told: dict[str, Any], telegram: BotApi, clone: Path, tmp_path: Path
) -> None:
    assert told
    if reason := reason_without_cron():
        assert not os.environ.get("CI"), f"CI must run this test, but it {reason}"
        pytest.skip(reason)
    (install,) = [block for block in blocks("A first job") if "crontab" in block]
    drained = blocks("Notifications on Telegram")[-1].splitlines()[-1]
    messages = len(telegram.texts)
    events = clone / "notifications/events.jsonl"
    before = len(events.read_text().splitlines())

    with private_cron(clone, f"{install}\n{drained}", tmp_path / "cron.log") as cron:

        def fresh() -> list[str]:
            assert cron.poll() is None, (tmp_path / "cron.log").read_text()
            return events.read_text(encoding="utf-8").splitlines()[before:]

        line = wait_for(fresh, what="an event of a run that cron started", seconds=150)[0]
        tick_log = clone / "db/tick.log"
        wait_for(tick_log.exists, what="the tick's line in its log")
        wait_for(lambda: telegram.texts[messages:], what="a message that cron sent", seconds=150)
        said = wait_for(lambda: tick_log.read_text(encoding="utf-8").splitlines(), what="a whole tick in the log")

    event = json.loads(line)
    assert event["job_id"] == "hello"
    assert event["result"]["response"]["result"]["exit_code"] == 0
    assert json.loads(said[0])["due_jobs"] == ["hello"]
    status = json.loads(shell(clone, "python3 main.py status"))
    assert status["scheduler"]["stale"] is False
    scheduled = [run for run in status["recent_runs"] if run["run_id"] == event["run_id"]]
    assert scheduled[0]["status"] == "ok"

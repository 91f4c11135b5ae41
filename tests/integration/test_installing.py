"""The crontab's block and systemd's units."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from install import crontab_starts, units
from install.units import Copy, DaemonTerms
from tests.support_machine import Machine, put_crontab_program
from tests.support_terminal import on_terminal
from tests.workspace import PATIENCE, PYTHON_WORD, FakeClock, Workspace

COPY = Copy("/home/me/puruto-cron", "/home/me/puruto-cron/.venv/bin/python", "/home/me/puruto-cron/db")
OTHERS = "# mine\nMAILTO=me\nCRON_TZ=Europe/Madrid\n\n0 5 * * * tar cf /x%%y\n@daily true\n"


@pytest.fixture
def crontab(workspace: Workspace) -> Path:
    """A program `crontab` on the PATH, and its file."""
    workspace.json("init-db")
    return put_crontab_program(workspace)


@pytest.mark.process
def test_the_block_is_put_in_once_and_other_lines_stay(workspace: Workspace, crontab: Path) -> None:
    crontab.write_text(OTHERS)
    first = workspace.json("install-crontab")
    assert (first["installed"], first["changed"]) == (True, True)
    text = crontab.read_text()
    assert text.startswith(OTHERS)
    line = f"{PYTHON_WORD} {workspace.root}/main.py tick --quiet >> {workspace.root}/db/tick.log 2>&1"
    assert f"\n* * * * * test -x {PYTHON_WORD} || echo " in text
    assert f"; {line}\n" in text
    assert workspace.json("install-crontab")["changed"] is False
    assert crontab.read_text() == text
    assert workspace.json("uninstall-crontab")["changed"] is True
    assert crontab.read_text() == OTHERS
    assert workspace.json("uninstall-crontab")["changed"] is False


@pytest.mark.process
def test_the_line_of_the_block_starts_a_tick(workspace: Workspace, crontab: Path) -> None:
    line = workspace.json("install-crontab")["lines"][0]
    command = line.removeprefix("* * * * * ").replace("\\%", "%").replace(" --quiet", "")
    subprocess.run(["/bin/sh", "-c", command], env=workspace.environ, cwd="/", check=True)
    assert '"status": "ok"' in (workspace.root / "db" / "tick.log").read_text()
    assert crontab.exists()


@pytest.mark.process
def test_a_line_whose_python_is_gone_says_what_to_do(workspace: Workspace, crontab: Path, sibling: Path) -> None:
    """As after an upgrade of the system: the environment's Python is a link to a file that is no longer there."""
    environment = workspace.root / ".venv" / "bin"
    environment.mkdir(parents=True)
    (environment / "python").symlink_to(sys.executable)
    lines = workspace.json("install-crontab", "--telegram")["lines"]
    (environment / "python").unlink()
    (environment / "python").symlink_to("/nowhere/python3.11")
    for line, log in zip(lines, ("tick.log", "telegram.log"), strict=True):
        command = line.removeprefix("* * * * * ")
        assert subprocess.run(["/bin/sh", "-c", command], env=workspace.environ, cwd="/").returncode == 127
        *ours, shells = (workspace.root / "db" / log).read_text(encoding="utf-8").splitlines()
        assert "not found" in shells or "No such file" in shells
        gone = f"{environment}/python is gone, as after an upgrade of the system"
        # A line that would be too long for cron does without it.
        assert ours == [f"{gone}: run make install in {workspace.root} again"] * ("make install" in line)
    assert crontab.exists()


@pytest.mark.process
def test_a_tick_that_fails_by_itself_adds_nothing_to_its_log(workspace: Workspace, crontab: Path) -> None:
    workspace.environ["DB_PATH"] = f"{workspace.root}/db/cron.db"
    line = workspace.json("install-crontab")["lines"][0]
    (workspace.root / ".env").write_text("PURUTO_CRON_LEASE_SECONDS=soon\n")
    command = line.removeprefix("* * * * * ")
    done = subprocess.run(["/bin/sh", "-c", command], env=workspace.environ, cwd="/", check=False)
    (only,) = (workspace.root / "db" / "tick.log").read_text(encoding="utf-8").splitlines()
    assert (done.returncode, json.loads(only)["error"]["code"]) == (2, "SETTINGS_INVALID")
    assert crontab.exists()


@pytest.mark.parametrize("root", ["/home/me/puruto-cron", "/home/me/mis púrutos/puruto-cron", "/a 'b'/100%/main.py"])
def test_the_line_starts_one_tick_and_nothing_else_that_is_ours(root: str) -> None:
    line = units.crontab_line(Copy(root, f"{root}/.venv/bin/python", f"{root}/db"))
    (start,) = crontab_starts.read(line, "here", {"HOME": "/home/me"}, system=False)
    assert (start.ticks, start.program, start.log) == (True, f"{root}/main.py", f"{root}/db/tick.log")


def test_a_line_that_would_be_too_long_for_cron_leaves_the_explanation_out() -> None:
    root = f"/home/{'%é' * 60}"
    line = units.crontab_line(Copy(root, f"{root}/.venv/bin/python", f"{root}/db"))
    assert "echo" not in line
    assert len(line.encode()) < 1000


@pytest.mark.process
def test_print_changes_nothing(workspace: Workspace, crontab: Path) -> None:
    shown = workspace.json("install-crontab", "--print")
    assert (shown["installed"], "tick --quiet" in shown["crontab"]) == (False, True)
    assert not crontab.exists()


@pytest.mark.process
def test_without_a_program_crontab_the_error_says_how_to_get_the_line(workspace: Workspace) -> None:
    workspace.environ["PATH"] = "/nonexistent"
    refused = workspace.json("install-crontab", code=1)["error"]
    assert refused["code"] == "CRONTAB_UNUSABLE"
    assert "install-systemd" in refused["details"]["hint"]


@pytest.mark.process
def test_print_shows_the_line_without_a_program_crontab(workspace: Workspace) -> None:
    workspace.json("init-db")
    workspace.environ["PATH"] = "/nonexistent"
    for command, there in (("install-crontab", True), ("uninstall-crontab", False)):
        shown = workspace.json(command, "--print")
        assert (f"{workspace.root}/main.py tick --quiet" in shown["crontab"]) is there
        assert [warning["code"] for warning in shown["warnings"]] == ["CRONTAB_UNUSABLE"]
        assert "Errno" not in json.dumps(shown)
    refused = workspace.json("install-crontab", code=1)["error"]
    assert "Errno" not in refused["message"]


def moved(workspace: Workspace) -> Workspace:
    """The same copy in another folder; the crontab stays as it is."""
    new = workspace.home / "an\u00f3ther place"
    workspace.root.rename(new)
    workspace.root = new
    return workspace


@pytest.mark.process
def test_a_line_of_ones_own_that_still_starts_the_tick_is_named(workspace: Workspace, crontab: Path) -> None:
    crontab.write_text(f"{OTHERS}* * * * * cd '{workspace.root}' && {PYTHON_WORD} main.py tick --quiet\n")
    for installed in (True, False):
        if installed:
            workspace.json("install-crontab")
        (line,) = workspace.json("uninstall-crontab")["own_lines"]
        assert line == f"* * * * * {workspace.root}/main.py tick --quiet"
        told = workspace.run("uninstall-crontab", "--text").stdout.decode()
        assert "still starts the tick" in told
    crontab.write_text(OTHERS)
    assert "None of its lines starts a tick" in workspace.run("uninstall-crontab", "--text").stdout.decode()


@pytest.mark.process
def test_a_copy_that_was_restored_beside_the_first_one_says_that_jobs_start_in_both(
    workspace: Workspace, crontab: Path
) -> None:
    workspace.json("init-db")
    workspace.json("install-crontab")
    first, second = workspace.root, workspace.root.with_name("restored")
    shutil.copytree(first, second, symlinks=True)
    workspace.root = second
    (warning,) = workspace.json("install-crontab")["warnings"]
    assert (warning["code"], str(first) in warning["hint"]) == ("BLOCK_OF_A_TWIN", True)
    for root, other in ((first, second), (second, first)):
        workspace.root = root
        findings = json.loads(workspace.run("doctor", "--json").stdout)["findings"]
        (found,) = [finding for finding in findings if finding["code"] == "CRON_BLOCK_TWIN"]
        assert f"cd {other} && python3 main.py uninstall-crontab" in found["cure"]
    first.rename(first.with_name("by-another-path"))
    first.symlink_to(first.with_name("by-another-path"))
    workspace.root = first.with_name("by-another-path")
    crontab.write_text(crontab.read_text().replace(str(second), str(workspace.root)))
    assert b"CRON_BLOCK_TWIN" not in workspace.run("doctor", "--json").stdout, "it is the same folder"


@pytest.mark.process
def test_the_block_of_the_folder_where_this_copy_was_is_replaced_if_that_is_wanted(
    workspace: Workspace, crontab: Path, sibling: Path
) -> None:
    crontab.write_text(OTHERS)
    workspace.json("install-crontab", "--telegram")
    before, old = crontab.read_text(), str(workspace.root)
    moved(workspace)

    def doctor() -> dict[str, Any]:
        findings = json.loads(workspace.run("doctor", "--json").stdout)["findings"]
        return {finding["code"]: finding for finding in findings}

    assert "--replace" in doctor()["CRON_BLOCK_GONE"]["cure"]
    shown = workspace.json("install-crontab", "--print")
    assert ([block["root"] for block in shown["replaceable"]], shown["replaced"]) == ([old], [])
    shown = workspace.json("install-crontab", "--print", "--replace")
    assert [(block["root"], len(block["lines"])) for block in shown["replaced"]] == [(old, 3)]
    assert crontab.read_text() == before
    kept = workspace.json("install-crontab")
    assert [warning["code"] for warning in kept["warnings"]] == ["BLOCK_LEFT_BEHIND"]
    assert old in crontab.read_text()
    done = workspace.json("install-crontab", "--replace")
    assert (done["warnings"], done["replaceable"], len(done["lines"])) == ([], [], 2)
    text = crontab.read_text()
    assert text.startswith(OTHERS)
    assert (f"{old}/main.py" in text, str(workspace.root) in text) == (False, True)
    assert "CRON_BLOCK_GONE" not in doctor()


@pytest.mark.process
@pytest.mark.parametrize(("typed", "removed"), [("y\n", True), ("n\n", False), ("\n", True)])
def test_on_a_terminal_a_person_is_asked(workspace: Workspace, crontab: Path, typed: str, removed: bool) -> None:
    crontab.write_text(OTHERS)
    workspace.json("install-crontab")
    old = str(workspace.root)
    moved(workspace)
    with on_terminal(workspace, "install-crontab") as (terminal, process):
        terminal.wait_for("Remove the block of that folder?")
        assert old in crontab.read_text()
        terminal.type(typed)
        assert process.wait(PATIENCE) == 0
    assert (f"{old}/main.py" in crontab.read_text()) is not removed
    assert str(workspace.root) in crontab.read_text()


@pytest.mark.process
def test_a_block_of_another_database_is_never_removed(workspace: Workspace, crontab: Path) -> None:
    other = units.block(Copy("/nonexistent/other", "/p", "/l", database="0123456789abcdef"))
    plain = units.block(Copy("/nonexistent/plain", "/p", "/l"))
    crontab.write_text(other + plain)
    done = workspace.json("install-crontab", "--replace")
    assert (done["replaced"], [warning["code"] for warning in done["warnings"]]) == ([], ["BLOCK_LEFT_BEHIND"] * 2)
    assert "crontab -e" in done["warnings"][0]["hint"]
    assert crontab.read_text().startswith(other + plain)
    workspace.json("uninstall-crontab")
    assert crontab.read_text() == other + plain


@pytest.mark.process
def test_uninstalling_takes_the_old_block_too(workspace: Workspace, crontab: Path) -> None:
    crontab.write_text(OTHERS)
    workspace.json("install-crontab")
    moved(workspace)
    workspace.json("install-crontab")
    assert workspace.json("uninstall-crontab")["changed"] is True
    assert crontab.read_text() == OTHERS


@pytest.mark.process
def test_after_installing_the_first_tick_is_waited_for_and_later_cron_is_asked_for(
    workspace: Workspace, crontab: Path, clock: FakeClock
) -> None:
    def told(machine: Machine) -> str:
        (warning,) = machine.run("list")[1]["warnings"]
        assert warning["code"] == "NO_TICK"
        return str(warning["message"])

    def shown(machine: Machine) -> list[str]:
        """The first lines of `status`, and of a frame of `watch`."""
        watched = machine.printed("watch", "--once", "--text")[1].splitlines()
        return [machine.printed("status", "--text")[1].splitlines()[0], *watched[:2]]

    machine = Machine(workspace, clock)
    assert "install-crontab" in told(machine)
    assert "STALE" in shown(machine)[0]
    assert "STALE" in shown(machine)[2]
    machine.run("install-crontab")
    assert "first tick comes within a minute" in told(machine)
    assert machine.run("status")[1]["starting"] is True
    assert "STALE" not in " ".join(shown(machine))
    assert "starting" in shown(machine)[0]
    assert "the first tick comes within a minute" in shown(machine)[2]
    clock.advance(minutes=5)
    assert "is cron running?" in told(machine)
    assert "starting" not in machine.run("status")[1]
    assert "STALE" in shown(machine)[0]
    machine.run("install-crontab")
    assert "is cron running?" in told(machine), "nothing was changed"
    machine.run("uninstall-crontab")
    assert "install-crontab" in told(machine)
    assert crontab.read_text() == ""


@pytest.mark.process
def test_what_is_printed_is_exactly_what_is_written_then(workspace: Workspace, crontab: Path) -> None:
    crontab.write_text("MAILTO=me\n5 4 * * * true\n")
    shown = workspace.json("install-crontab", "--print")
    assert crontab.read_text() == "MAILTO=me\n5 4 * * * true\n"
    assert "# database: " in shown["crontab"]
    workspace.json("install-crontab")
    assert crontab.read_text() == shown["crontab"]
    assert workspace.json("install-crontab", "--print")["crontab"] == shown["crontab"]
    workspace.json("uninstall-crontab")
    assert workspace.json("install-crontab", "--print")["crontab"] == shown["crontab"], "the database keeps its ID"


@pytest.fixture
def sibling(workspace: Workspace) -> Path:
    """A puruto-telegram whose inbox.py writes down how it was called."""
    folder = workspace.add_target("puruto-telegram", invoke=None)
    (folder / "inbox.py").write_text("import sys\nprint(sys.argv[1:])\n")
    return folder


@pytest.mark.process
def test_with_telegram_a_second_line_drains_the_inbox_until_it_is_switched_off(
    workspace: Workspace, crontab: Path, sibling: Path
) -> None:
    assert len(workspace.json("install-crontab")["lines"]) == 1
    _, drain = workspace.json("install-crontab", "--telegram")["lines"]
    assert workspace.json("install-crontab")["changed"] is False, "it stays as it was"
    subprocess.run(["/bin/sh", "-c", drain.removeprefix("* * * * * ")], env=workspace.environ, cwd="/", check=True)
    assert (workspace.root / "db" / "telegram.log").read_text() == "['--deliver', '--quiet']\n"
    assert len(workspace.json("install-crontab", "--no-telegram")["lines"]) == 1
    assert "inbox.py" not in crontab.read_text()
    (sibling / "inbox.py").unlink()
    refused = workspace.json("install-crontab", "--telegram", code=2)["error"]
    assert "cp -r examples/purutos/puruto-telegram" in refused["details"]["hint"]
    assert "inbox.py" not in crontab.read_text()


@pytest.mark.parametrize("folder", ["/home/me/t", "/home/me/a b", "/home/100%/t"])
def test_a_block_that_drains_is_recognised(folder: str) -> None:
    copy = Copy(COPY.root, COPY.python, COPY.logs, telegram=folder)
    mine = f"* * * * * python3 {folder}/inbox.py --deliver --quiet\n"
    assert units.drains(units.with_block(OTHERS, copy), COPY)
    assert not units.drains(units.with_block(OTHERS + mine, COPY), COPY)


LINES = st.lists(st.text(st.characters(exclude_characters="\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=20))


@given(LINES, st.booleans())
def test_all_other_lines_stay(lines: list[str], ends: bool) -> None:
    text = "\n".join(lines) + ("\n" if ends and lines else "")
    made = units.with_block(text, COPY)
    assert units.with_block(made, COPY) == made
    assert units.without_block(made, COPY.root) in (text, text + "\n")


def test_the_block_of_another_copy_is_left_alone() -> None:
    other = units.with_block(OTHERS, Copy("/other", "/p", "/l"))
    both = units.with_block(other, COPY)
    assert units.without_block(both, COPY.root) == other


@pytest.mark.process
def test_lines_after_a_block_without_its_end_stay_however_often_it_is_installed(
    workspace: Workspace, crontab: Path
) -> None:
    begin = units.BEGIN.format(root=workspace.root)
    broken = f"a\n{begin}  \n* * * * * old\n0 1 * * * mine\n"
    crontab.write_text(broken)
    for _ in range(2):
        answer = workspace.json("install-crontab")
        assert [warning["code"] for warning in answer["warnings"]] == ["BLOCK_BROKEN"]
        assert "Line 2 " in answer["warnings"][0]["message"]
        assert crontab.read_text().startswith(broken)
    answer = workspace.json("uninstall-crontab")
    assert (answer["changed"], crontab.read_text()) == (True, broken)
    assert [warning["code"] for warning in answer["warnings"]] == ["BLOCK_BROKEN"]
    crontab.write_text("0 1 * * * mine\n")
    assert workspace.json("install-crontab")["warnings"] == []


def test_a_block_without_its_end_is_not_cut() -> None:
    broken = units.with_block("", COPY).rpartition("# <<<")[0] + "0 5 * * * mine\n"
    assert units.without_block(broken, COPY.root) == broken


TERMS = DaemonTerms(poll_sec=30, stop_sec=40, kill_grace_sec=5)


@pytest.mark.parametrize("daemon", [None, TERMS], ids=["timer", "daemon"])
@pytest.mark.parametrize(
    "root", ["/home/me/puruto-cron", "/home/me/a b", "/home/100%/$x", "/a\nb/\udcff/ñ\x85\u2028\\"]
)
def test_systemd_accepts_the_units(tmp_path: Path, root: str, daemon: DaemonTerms | None) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    copy = Copy(root, sys.executable, f"{root}/db", telegram=f"{root}/../puruto-telegram")
    made = units.units(copy, daemon)
    for name, text in made.items():
        (tmp_path / name).write_text(text)
    files = [str(tmp_path / name) for name in made]
    # Units of the system have sockets in it, whose paths must be short.
    with tempfile.TemporaryDirectory(dir="/tmp") as runtime:
        environ = {**os.environ, "XDG_RUNTIME_DIR": runtime, "HOME": str(tmp_path)}
        done = subprocess.run(
            [program, "verify", "--user", *files], env=environ, capture_output=True, text=True, check=False
        )
    if not os.path.exists("/usr/bin/systemd-run"):
        pytest.skip("systemd-run is not installed")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.process
def test_the_units_are_written_where_systemd_looks(workspace: Workspace) -> None:
    workspace.json("init-db")
    answer = workspace.json("install-systemd")
    folder = Path(workspace.environ["HOME"]) / ".config" / "systemd" / "user"
    assert sorted(path.name for path in folder.iterdir()) == ["puruto-cron.service", "puruto-cron.timer"]
    assert f"{workspace.root}/main.py" in (folder / "puruto-cron.service").read_text()
    assert any("enable --now" in line for line in answer["then"])
    assert workspace.json("install-systemd", "--print", "--folder", "/nowhere")["written"] is False
    assert workspace.json("install-systemd", "--telegram", code=2)["error"]["code"] == "USAGE"
    refused = workspace.json("install-systemd", "--folder", "/proc/x", code=1)["error"]
    assert refused["code"] == "UNITS_UNWRITABLE"


def test_the_daemons_service_allows_for_its_stop_and_its_sleep() -> None:
    (text,) = units.units(COPY, TERMS).values()
    lines = text.splitlines()
    assert f'ExecStart="{COPY.python}" "{COPY.root}/main.py" "daemon"' in lines
    for line in ("Type=notify", "WatchdogSec=300", "TimeoutStopSec=75", "KillMode=mixed", "Restart=on-failure",
                 "ExecReload=/bin/kill -HUP $MAINPID", "OOMPolicy=continue", "WantedBy=default.target"):  # fmt: skip
        assert line in lines
    (slow,) = units.units(COPY, DaemonTerms(3600, 86_400, 600)).values()
    assert "WatchdogSec=14400\n" in slow, "so that the watchdog wakes nobody who may sleep an hour"
    assert "TimeoutStopSec=87030\n" in slow


@pytest.mark.process
def test_the_daemon_replaces_this_copys_timer_and_no_other(workspace: Workspace, tmp_path: Path) -> None:
    workspace.json("init-db")
    folder = tmp_path / "a b"
    fresh = workspace.json("install-systemd", "--daemon", "--folder", str(folder))
    assert [path.name for path in folder.iterdir()] == ["puruto-cron-daemon.service"]
    assert fresh["then"] == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now puruto-cron-daemon.service",
        "loginctl enable-linger",
    ]
    assert fresh["undo"] == [
        "systemctl --user disable --now puruto-cron-daemon.service",
        f"rm '{folder}/puruto-cron-daemon.service'",
        "systemctl --user daemon-reload",
    ]
    workspace.json("install-systemd", "--folder", str(folder))
    again = workspace.json("install-systemd", "--daemon", "--folder", str(folder))
    assert again["then"][1] == "systemctl --user disable --now puruto-cron.timer"
    (folder / "puruto-cron.timer").write_text("# puruto-cron: /other\n[Unit]\n")
    assert workspace.json("install-systemd", "--daemon", "--folder", str(folder))["then"] == fresh["then"]
    theirs = "# puruto-cron: /other\n[Unit]\n"
    (folder / "puruto-cron-daemon.service").write_text(theirs)
    assert workspace.json("install-systemd", "--daemon", "--folder", str(folder), code=1)["error"]["code"] == (
        "UNITS_UNWRITABLE"
    )
    assert (folder / "puruto-cron-daemon.service").read_text() == theirs


def test_the_drain_of_the_inbox_keeps_its_timer_when_the_daemon_is_installed() -> None:
    made = units.units(Copy("/r", "/p", "/l", telegram="/t"), TERMS)
    names = ["puruto-cron-daemon.service", "puruto-cron-telegram.service", "puruto-cron-telegram.timer"]
    assert sorted(made) == names


ODD_ROOTS = ["/home/me/ñ", "/a b\\", "/a\nb", "/a\\nb", "/a\u2028b", "/\udcff", "/\x85", "/%h/$x"]


def test_the_first_line_of_a_unit_names_one_copy() -> None:
    marks = set()
    for root in ODD_ROOTS:
        for text in units.units(Copy(root, "/p", "/l", telegram="/t")).values():
            marks.add(text.splitlines()[0])
            assert text.encode().splitlines()[1] == b"[Unit]", "one line, of UTF-8"
    assert len(marks) == len(ODD_ROOTS)
    assert "# puruto-cron: /home/me/ñ" in marks


@pytest.mark.process
def test_units_of_others_stay(workspace: Workspace, tmp_path: Path) -> None:
    workspace.json("init-db")
    folder = tmp_path / "units"

    def install(code: int = 0) -> dict[str, Any]:
        return workspace.json("install-systemd", "--folder", str(folder), code=code)

    install()
    written = {path.name: path.read_text() for path in folder.iterdir()}
    assert all(text.startswith(f"# puruto-cron: {workspace.root}\n") for text in written.values())
    (folder / "puruto-cron.timer").write_text(written["puruto-cron.timer"].replace("AccuracySec=1s", ""))
    install()
    assert (folder / "puruto-cron.timer").read_text() == written["puruto-cron.timer"], "this copy's own is renewed"
    unmarked = written["puruto-cron.timer"].partition("\n")[2]
    (folder / "puruto-cron.timer").write_text(unmarked)
    install()
    (folder / "puruto-cron.service").unlink()
    for theirs, owner in (("# puruto-cron: /other\n[Unit]\n", "/other"), ("[Unit]\n", None), ("", None)):
        (folder / "puruto-cron.timer").write_text(theirs)
        error = install(code=1)["error"]
        assert (error["code"], error["details"]["owner"]) == ("UNITS_UNWRITABLE", owner)
        assert str(folder / "puruto-cron.timer") in error["message"]
        assert str(owner or "does not belong to puruto-cron") in error["message"]
        assert error["details"]["hint"]
        assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("puruto-cron.timer", theirs)]
    # As systemctl masks a unit.
    (folder / "puruto-cron.timer").unlink()
    (folder / "puruto-cron.timer").symlink_to("/dev/null")
    assert install(code=1)["error"]["code"] == "UNITS_UNWRITABLE"

"""Each check of the doctor on a scene that the test sets; no disk, no other program."""

from __future__ import annotations

import importlib.metadata
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.settings import VARIABLES
from core.errors import DatabaseCorrupt, SettingsError
from core.missing_library import missing_library
from doctor import condition, interpreter, jobs, places, setting_faults, timing
from doctor.checks import CHECKS, Check, examine
from doctor.findings import Few, Finding, counts, error, fine, of_error, warning, worst_first
from doctor.interpreter import Requirement
from doctor.mounts import NETWORK, is_network, mount_of, mounts
from doctor.scene import Scene
from invocation.policy import Policy
from render.console import ViewContext
from render.screen import Screen
from render.views import text_of
from reports.health import Anomaly, OverdueJob, WaitingEvents
from schedules.calendar import Schedules
from tests.fakes import NOON, make_state

NO_DAEMON = {"running": False, "pid": None, "host": None, "since": None}
NO_APP: Any = SimpleNamespace(clock=SimpleNamespace(now=lambda: NOON))


def codes(findings: Iterable[Finding]) -> list[str]:
    """The codes, worst first; what is fine left out."""
    return [finding.code for finding in worst_first(findings) if finding.severity != "ok"]


def scene(**parts: Any) -> Scene:
    return Scene(**{"app": NO_APP, "settings": None, **parts})


# --- findings, the list, and how they are shown ---


def test_errors_come_first_and_the_order_of_the_checks_is_kept_within_a_severity() -> None:
    found = [fine("a", "1"), warning("W", "b", "2", ""), error("E", "c", "3", ""), warning("V", "d", "4", "")]
    assert [finding.message for finding in worst_first(found)] == ["3", "2", "4", "1"]
    assert counts(found) == {"error": 1, "warning": 2, "ok": 1}


def test_an_error_of_this_program_becomes_a_finding_with_its_hint_as_the_fix() -> None:
    found = of_error("database", DatabaseCorrupt("it is damaged", hint="repair it"))
    assert found == Finding("DATABASE_CORRUPT", "error", "database", "it is damaged", "repair it")
    assert "only_under_cron" not in found.as_dict()


def test_of_many_equal_findings_a_few_are_shown_and_the_others_counted() -> None:
    few = Few(most=2)
    shown = [n for n in range(5) if few.passes(error("E", "job", str(n), ""))]
    assert shown == [0, 1]
    assert [finding.message for finding in few.remaining("jobs")] == ["3 more of the same"]
    assert Few().remaining("jobs") == []


def failing(_: Scene) -> Iterator[Finding]:
    yield warning("FIRST", "x", "before it fails", "")
    raise ZeroDivisionError("a fault of ours")


def refusing(_: Scene) -> Iterator[Finding]:
    raise DatabaseCorrupt("it is damaged")


def steady(_: Scene) -> Iterator[Finding]:
    yield fine("y", "well")


def test_a_check_that_fails_is_a_finding_and_the_others_still_run() -> None:
    checks = [Check("x", "nothing", failing), Check("z", "nothing", refusing), Check("y", "nothing", steady)]
    found = examine(scene(), checks)
    assert [finding.code for finding in found] == ["FIRST", "INTERNAL_ERROR", "DATABASE_CORRUPT", "FINE"]
    assert "a fault of ours" in found[1].message


@pytest.mark.parametrize(
    ("parts", "left_out"),
    [({}, ["b", "c"]), ({"settings": object()}, ["c"]), ({"settings": object(), "session": object()}, [])],
)
def test_checks_that_can_not_be_made_are_named(parts: dict[str, Any], left_out: list[str]) -> None:
    checks = [Check("a", "nothing", steady), Check("b", "settings", steady), Check("c", "store", steady)]
    found = [finding for finding in examine(scene(**parts), checks) if finding.code == "NOT_LOOKED_AT"]
    assert [finding.message.split(": ")[1].split(", ") for finding in found] == ([left_out] if left_out else [])


def test_the_database_is_checked_before_the_checks_that_need_it() -> None:
    subjects = [check.subject for check in CHECKS]
    assert all(subjects.index("database") < subjects.index(check.subject) for check in CHECKS if check.need == "store")
    assert len(subjects) == len(set(subjects))


def test_people_read_lines_with_the_fix_below_and_colour_only_on_request() -> None:
    found = [
        Finding("E", "error", "job x", "it is\x1b[31m bad\nreally", "do this", only_under_cron=True),
        fine("clock", "it is noon"),
    ]
    report = {"findings": [finding.as_dict() for finding in found], "counts": counts(found)}
    assert text_of("doctor", report, ViewContext(NOON, "UTC", Screen(52, 24))).split("\n") == [
        "error   job x: it is\ufffd[31m bad really [E] (only under cron)",
        "        fix: do this",
        "ok      clock: it is noon [FINE]",
        "",
        "errors: 1, warnings: 0, fine: 1",
    ]
    coloured = text_of("doctor", report, ViewContext(NOON, "UTC", Screen(60, colour=True)))
    assert coloured.startswith("\x1b[1;31merror")


# --- interpreter ---


def test_old_versions_are_errors() -> None:
    assert codes(interpreter.python((3, 11, 0), (3, 37, 0))) == []
    assert codes(interpreter.python((3, 10, 9), (3, 36, 9))) == ["PYTHON_TOO_OLD", "SQLITE_TOO_OLD"]


@pytest.mark.parametrize(
    ("bounds", "version", "good"),
    [
        (">=7,<8", "7.0.0", True),
        (">=7,<8", "7.9.post1", True),
        (">=7,<8", "8.0", False),
        (">=7,<8", "6.99", False),
        (">=2.11,<3", "2.9", False),
        (">=2.11,<3", "2.11.0rc1", True),
        (">= 2024.1", "2026.1", True),
        ("==1.2", "1.2.0", True),
        ("!=1.2,>1", "1.2", False),
        ("<=1", "1.0.1", False),
        ("", "0.1", True),
    ],
)
def test_versions_are_compared_as_numbers(bounds: str, version: str, good: bool) -> None:
    assert Requirement("x", bounds).allows(version) is good


def library_problems(version: str | Exception, load: Callable[[str], object] = lambda _: None) -> list[str]:
    def version_of(_: str) -> str:
        if isinstance(version, Exception):
            raise version
        return version

    return codes(interpreter.libraries([Requirement("python-dotenv", ">=1,<2")], version_of, load))


def test_a_library_that_is_missing_broken_or_of_another_version_is_an_error() -> None:
    def broken(name: str) -> object:
        raise ImportError(f"{name} is broken")

    assert library_problems("1.5") == []
    assert library_problems("2.0") == ["LIBRARY_VERSION"]
    assert library_problems(importlib.metadata.PackageNotFoundError("python-dotenv")) == ["DEPENDENCY_MISSING"]
    assert library_problems("1.5", broken) == ["DEPENDENCY_MISSING"]


@pytest.mark.parametrize(
    ("line", "codes_found"),
    [
        ('VIRTUAL_ENV="{there}"', ["VENV_MOVED"]),
        ("    export VIRTUAL_ENV='{there}'", ["VENV_MOVED"]),
        ("VIRTUAL_ENV=$(cygpath {there})\n  export VIRTUAL_ENV={here}", []),
        ('VIRTUAL_ENV="{here}"', []),
        ("VIRTUAL_ENV='{link}'", []),
        ("VIRTUAL_ENV=$(cd ..; pwd)", []),
        ("VIRTUAL_ENV='", []),
        ("", []),
    ],
)
def test_an_environment_that_was_moved_is_found(tmp_path: Path, line: str, codes_found: list[str]) -> None:
    here, link = tmp_path / "here" / ".venv", tmp_path / "link"
    (here / "bin").mkdir(parents=True)
    link.symlink_to(here)
    (here / "pyvenv.cfg").write_text(f"home = {tmp_path}\n")
    (here / "bin" / "activate").write_text(line.format(here=here, link=link, there="/old/.venv") + "\n")
    found = list(interpreter.environment(str(here), "/usr", sys.executable))
    assert [finding.code for finding in found] == codes_found
    assert all("/old/.venv" in finding.message and "make install" in finding.fix for finding in found)


def test_a_library_that_is_there_for_another_python_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    error = ModuleNotFoundError("No module named 'click'", name="click")
    assert "has no library 'click'" in missing_library(error).message
    (tmp_path / "lib" / "python3.9" / "site-packages" / "click").mkdir(parents=True)
    found = missing_library(error)
    assert "its libraries are for Python 3.9, as after an upgrade of the system" in found.message
    assert "make install" in found.hint
    assert found.details["library"] == "click"


def test_distributions_are_imported_by_the_names_of_their_modules() -> None:
    assert Requirement("python-dotenv", "").module == "dotenv"
    assert Requirement("annotated-types", "").module == "annotated_types"


# --- settings ---


def wrong_settings(*names: str | None) -> SettingsError:
    problems = [{"code": "X", "variable": name, "message": f"{name} is wrong", "hint": "correct it"} for name in names]
    return SettingsError("wrong", details={"problems": problems})


def test_each_fault_of_the_settings_is_a_finding() -> None:
    found = setting_faults.faults(wrong_settings("PURUTO_CRON_MAX_RUNNING", "DB_PATH"))
    assert [(f.code, f.severity, f.message, f.fix) for f in found] == [
        ("SETTINGS_INVALID", "error", "PURUTO_CRON_MAX_RUNNING is wrong", "correct it"),
        ("SETTINGS_INVALID", "error", "DB_PATH is wrong", "correct it"),
    ]
    assert len(setting_faults.faults(SettingsError("no such zone"))) == 1


def test_a_default_stands_in_for_everything_but_a_path() -> None:
    harmless = [variable.name for variable in VARIABLES if variable.kind not in ("path", "inside")]
    found = setting_faults.stand_ins(wrong_settings(*harmless))
    assert found is not None
    assert set(found) == set(harmless)
    assert all(found.values()), "an empty value would not win over .env"
    assert setting_faults.stand_ins(wrong_settings("PURUTO_CRON_MAX_RUNNING", "DB_PATH")) is None
    assert setting_faults.stand_ins(wrong_settings("PURUTO_TELEGRAM_OUTBOX_FILE")) is None
    assert setting_faults.stand_ins(wrong_settings(None)) is None, "a line of .env can't be parsed"
    assert setting_faults.stand_ins(SettingsError("no such zone")) == {"PURUTO_CRON_TIMEZONE": "UTC"}


# --- file systems ---

MOUNTINFO = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:40 / /home rw - nfs4 server:/home rw
24 23 8:2 / /home/me/local\040disk rw,relatime - ext4 /dev/sdb1 rw
25 22 0:41 / /mnt/host rw shared:7 master:2 - fuse.sshfs me@there:/ rw
26 22 0:42 / /over rw - ext4 /dev/sdc1 rw
27 22 0:43 / /over rw - cifs //server/share rw
nonsense
28 22 0:44 / /cut rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/db/cron.db", "ext4"),
        ("/home/me/cron.db", "nfs4"),
        ("/homework/cron.db", "ext4"),
        ("/home/me/local disk/cron.db", "ext4"),
        ("/mnt/host/cron.db", "fuse.sshfs"),
        ("/over/cron.db", "cifs"),
        ("/home", "nfs4"),
    ],
)
def test_a_path_is_on_the_longest_mount_point_above_it_the_last_if_several(path: str, kind: str) -> None:
    mount = mount_of(path, mounts(MOUNTINFO))
    assert mount is not None
    assert mount.kind == kind
    assert is_network(mount) == (kind != "ext4")


def test_network_file_systems_are_recognised() -> None:
    asked = "nfs nfs4 cifs smb3 smbfs 9p fuse.sshfs afs ceph glusterfs lustre vboxsf"
    assert set(asked.split()) <= NETWORK
    assert not NETWORK & {"ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "apfs", "fuse.ntfs-3g"}
    assert mount_of("/x", []) is None


# --- places ---


@pytest.mark.parametrize(
    ("free", "files", "found"),
    [
        (1 << 30, 10**6, []),
        (1 << 30, None, []),
        (50 << 20, 10**6, ["SPACE_LOW"]),
        (1 << 20, 10**6, ["NO_SPACE"]),
        (1 << 30, 5, ["SPACE_LOW"]),
    ],
)
def test_little_space_is_a_warning_and_no_space_an_error(free: int, files: int | None, found: list[str]) -> None:
    assert codes(places.shortage(Path("/db"), free, files)) == found


# --- clock, ticks, what waits ---


@pytest.mark.parametrize(
    ("now", "monotonic", "found"),
    [
        (NOON, (5.0, 5.0), []),
        (datetime(1970, 1, 1, tzinfo=UTC), (5.0, 6.0), ["CLOCK_IMPLAUSIBLE"]),
        (datetime(9999, 1, 1, tzinfo=UTC), (5.0, 6.0), ["CLOCK_IMPLAUSIBLE"]),
        (NOON, (6.0, 5.0), ["CLOCK_NOT_MONOTONIC"]),
        (NOON, (-1.0, 5.0), ["CLOCK_NOT_MONOTONIC"]),
    ],
)
def test_implausible_clocks_are_errors(now: datetime, monotonic: tuple[float, float], found: list[str]) -> None:
    assert codes(condition.clock(now, monotonic)) == found


@pytest.mark.parametrize("at", [None, "2026-02-25T11:00:00+00:00"])
def test_a_stale_scheduler_is_an_error(at: str | None) -> None:
    state = {"last_tick_at": at, "last_tick_age_sec": 3600, "stale": True}
    (found,) = condition.last_tick(state, NO_DAEMON, None, NOON)
    assert (found.code, found.severity) == ("NO_TICK", "error")
    assert (at or "so far") in found.message
    assert codes(condition.last_tick({**state, "stale": False}, NO_DAEMON, None, NOON)) == []


@pytest.mark.parametrize(
    ("age_sec", "found", "beside_ticks"),
    [
        (300, [], []),
        (301, ["DAEMON_SILENT"], ["DAEMON_SILENT"]),
        (-301, ["DAEMON_SILENT"], ["DAEMON_SILENT"]),
        (None, ["DAEMON_SILENT"], []),
    ],
)
def test_a_daemon_that_has_not_polled_for_long_hangs_even_if_ticks_run(
    age_sec: int | None, found: list[str], beside_ticks: list[str]
) -> None:
    state = {"last_tick_at": None, "last_tick_age_sec": None, "stale": True, "stale_after_sec": 300}
    daemon = {"running": True, "pid": 7, "host": "here", "since": "2026-02-25T11:00:00+00:00"}
    looked = None if age_sec is None else NOON - timedelta(seconds=age_sec)
    assert codes(condition.last_tick(state, daemon, looked, NOON)) == found
    assert codes(condition.last_tick({**state, "stale": False}, daemon, looked, NOON)) == beside_ticks


def test_a_running_daemon_is_named_and_its_absence_is_fine() -> None:
    for state, told in (
        ({"running": True, "pid": 7, "host": "here", "since": "then"}, "since then: process 7 on here"),
        ({"running": True, "pid": None, "host": None, "since": None}, "of unknown ID"),
        (NO_DAEMON, "None is running"),
    ):
        app: Any = SimpleNamespace(daemon_state=lambda state=state: state)
        settings: Any = object()
        (found,) = condition.check_daemon(scene(app=app, settings=settings))
        assert (found.severity, told in found.message) == ("ok", True)


def test_overdue_jobs_are_one_warning_that_names_the_oldest() -> None:
    job: OverdueJob = {
        "job_id": "late", "next_run_at": "2026-02-25T11:00:00+00:00", "late_sec": 3600, "running": False,
    }  # fmt: skip
    (finding,) = condition.overdue(7, [job, {**job, "job_id": "later"}])
    assert finding.code == "JOBS_OVERDUE"
    assert all(text in finding.message for text in ("7", "late", "3600"))
    assert codes(condition.overdue(0, [])) == []


def test_undelivered_events_are_a_warning_only_after_a_failed_delivery() -> None:
    channel: WaitingEvents = {
        "channel": "local", "count": 2, "oldest_ts": "then", "failures": 3, "last_error": "disk full",
    }  # fmt: skip
    (finding,) = condition.undelivered([channel, {**channel, "failures": 0}])
    assert (finding.code, finding.severity) == ("EVENTS_WAITING", "warning")
    assert "disk full" in finding.message


def test_anomalies_are_warnings_about_their_job_or_the_clock() -> None:
    anomalies: list[Anomaly] = [
        {"code": "JOB_PAUSED", "message": "it failed", "hint": "see why", "job_id": "x"},
        {"code": "CLOCK_SET_BACK", "message": "it went back"},
        {"code": "NO_NEXT_RUN", "message": "another check examines the schedules", "job_id": "y"},
    ]
    findings = list(condition.anomalies(anomalies))
    assert [(f.code, f.severity, f.subject, f.fix) for f in findings] == [
        ("JOB_PAUSED", "warning", "job x", "see why"),
        ("CLOCK_SET_BACK", "warning", "clock", ""),
    ]


# --- schedules ---


def silent(cursor: datetime | None, schedule: str, **fields: Any) -> Finding | None:
    return timing.no_next_run(make_state(cursor, schedule=schedule, **fields), NOON, Schedules())


def test_an_enabled_job_without_a_next_run_is_reported_with_the_reason() -> None:
    assert silent(NOON, "0 9 * * *") is None
    over = silent(None, "@at 2026-01-01T00:00:00+00:00")
    assert over is not None
    assert (over.code, over.severity) == ("NEVER_FIRES_AGAIN", "warning")
    stuck = silent(None, "0 9 * * *")
    assert stuck is not None
    assert (stuck.code, stuck.severity) == ("NO_NEXT_RUN", "error")
    bad = silent(None, "every now and then")
    assert bad is not None
    assert (bad.code, bad.severity) == ("SCHEDULE_INVALID", "error")


def crowd(schedule: str, count: int, max_running: int = 1) -> list[Finding]:
    states = [make_state(schedule=schedule, job_id=f"job-{n}") for n in range(count)]
    return list(timing.crowded(states, NOON, Schedules(), max_running))


def test_a_minute_with_too_many_jobs_is_named_with_their_number() -> None:
    assert crowd("0 9 * * *", 5) == []
    (found,) = crowd("0 9 * * *", 6)
    assert (found.code, found.severity) == ("CROWDED_MINUTE", "warning")
    assert "2026-02-26T09:00:00+00:00 6 jobs" in found.message
    assert crowd("0 9 * * *", 6, max_running=2) == []
    assert "1439 more minutes" in crowd("* * * * *", 6)[0].message


def test_only_the_next_day_counts() -> None:
    assert crowd("0 9 27 2 *", 100) == []


def test_intervals_count_from_their_own_anchor() -> None:
    states = [
        make_state(schedule="@every 1h", job_id=f"job-{n}", anchor=NOON - timedelta(minutes=n)) for n in range(60)
    ]
    assert list(timing.crowded(states, NOON, Schedules(), 1)) == []
    assert set(timing.minutes(states, NOON, Schedules()).values()) == {1}


def test_a_job_that_is_due_twice_in_a_minute_counts_once() -> None:
    state = make_state(schedule="@every 20s", anchor=NOON)
    load = timing.minutes([state], NOON, Schedules())
    assert (len(load), set(load.values())) == (1440, {1})


def test_a_changed_zone_is_reported_and_another_name_for_it_is_not() -> None:
    def moved(kept: dict[str, int], machine: str, set_zone: str | None = None) -> list[str]:
        return codes(timing.moved_zones(Counter(kept), machine, set_zone, NOON))

    assert moved({"Europe/Madrid": 2}, "UTC") == ["ZONE_KEPT"]
    assert moved({"Europe/Madrid": 2}, "Europe/Madrid") == []
    assert moved({"Etc/UTC": 1}, "UTC") == []
    assert moved({"Europe/London": 1}, "UTC") == ["ZONE_KEPT"], "the same in winter only"
    assert moved({"Europe/Madrid": 0}, "UTC") == []
    assert moved({"Europe/Madrid": 2}, "UTC", "America/Lima") == []
    assert moved({"Mars/Olympus": 1}, "UTC") == ["ZONE_KEPT"]


# --- jobs ---


def test_a_policy_that_denies_everything_is_reported_once() -> None:
    assert codes(jobs.policy_faults(Policy())) == []
    assert codes(jobs.policy_faults(Policy(fault="not JSON"))) == ["POLICY_UNUSABLE"]
    assert codes(jobs.policy_faults(Policy(enabled=False))) == ["POLICY_DISABLED"]

"""The program's own log: the form of a line, what is masked in it, what is written, and that it hurts nothing."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core import log, log_file
from core.boundary import Failure, failure_of, guarded
from core.errors import CronError, DatabaseLocked, InternalError, LeaseLost
from core.invocation import Usage
from core.redact import Redactor
from core.run import RunStatus
from tests.fakes import NOON, answered, failed, make_bench, make_job, make_run
from tests.workspace import FakeClock

SECRET = "s3cr3t-of-the-bank"
HEAD = f"2026-02-25T12:00:00.000+00:00 WARNING pid={os.getpid()}"


class Desk:
    """An open log in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / log.FILE
        self.clock = FakeClock(NOON)
        self.level = log.DEBUG
        self.redactor = Redactor([SECRET])

    def make(self) -> log.Log:
        return log.Log(str(self.path), self.level, self.clock.now, lambda _job: self.redactor.text)

    @property
    def lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    found = Desk(tmp_path)
    with log.opened(found.make):
        yield found


def fail(error: Exception) -> Callable[[], Any]:
    def work() -> Any:
        raise error

    return work


# --- the form of a line ---


def test_a_line_has_time_level_process_and_what_is_known(desk: Desk) -> None:
    log.warning("The lease was not renewed", job="report", run_id="report-1", code="DATABASE_LOCKED")
    assert desk.lines == [f"{HEAD} job=report run=report-1 code=DATABASE_LOCKED The lease was not renewed"]


def test_what_is_not_known_is_left_out(desk: Desk) -> None:
    log.warning("Something")
    assert desk.lines == [f"{HEAD} Something"]


def test_each_level_has_its_name(desk: Desk) -> None:
    log.debug("a")
    log.info("b")
    log.write(log.ERROR, "c")
    assert [line.split()[1] for line in desk.lines] == ["DEBUG", "INFO", "ERROR"]


def test_a_job_that_is_given_whole_is_named(desk: Desk) -> None:
    log.info("It starts", job=make_job("backup"))
    assert " job=backup It starts" in desk.lines[0]


@pytest.mark.parametrize("char", ["\n", "\r", "\x1b", "\x85", "\u2028", "\0", "\ud800"])
def test_no_message_ends_its_line_or_moves_the_cursor(desk: Desk, char: str) -> None:
    log.warning(f"a{char}2026-02-25T12:00:00.000+00:00 ERROR pid=1 forged")
    (line,) = desk.path.read_bytes().decode("utf-8").split("\n")[:-1]
    assert line.startswith(f"{HEAD} a\\")
    assert char not in line


def test_a_name_that_was_forged_in_the_database_stays_one_word(desk: Desk) -> None:
    log.warning("Bad", job="a b\nERROR c=d", run_id="ñ")
    assert desk.lines == [f"{HEAD} job='a\\x20b\\nERROR\\x20c=d' run='\\xf1' Bad"]


def test_text_of_any_language_is_written_as_it_is(desk: Desk) -> None:
    log.warning("El invoker devolvió — 要約")
    assert desk.lines == [f"{HEAD} El invoker devolvió — 要約"]


def test_a_message_that_is_too_long_is_cut_off(desk: Desk) -> None:
    log.warning("x" * 100_000)
    assert len(desk.lines[0]) < 5_000


def test_the_lines_of_a_traceback_can_not_be_taken_for_lines_of_the_log(desk: Desk) -> None:
    guarded(fail(ValueError("one\n2026-02-25T12:00:00.000+00:00 ERROR pid=1 forged")))
    head, *rest = desk.lines
    assert " ERROR " in head
    assert rest[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in rest)
    assert rest[-1] == "    2026-02-25T12:00:00.000+00:00 ERROR pid=1 forged"


# --- masks ---


def test_secrets_are_masked_in_messages_and_names(desk: Desk) -> None:
    log.warning(f"The token {SECRET} was refused", job=f"a {SECRET}")
    assert SECRET not in desk.path.read_text()
    assert "The token *** was refused" in desk.lines[0]


def test_secrets_are_masked_in_the_text_and_the_causes_of_an_exception(desk: Desk) -> None:
    def work() -> None:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise RuntimeError(f"no {SECRET} here") from error

    guarded(work)
    text = desk.path.read_text()
    assert SECRET not in text
    assert "KeyError: '***'" in text
    assert "RuntimeError: no *** here" in text


def test_a_secret_of_several_lines_is_masked_before_it_is_broken_into_lines(desk: Desk) -> None:
    key = "-----BEGIN KEY-----\nabcdefghijklmnopqrstuv\nwxyzabcdefghijklmnopqr\n-----END KEY-----"
    desk.redactor = Redactor([key])
    guarded(fail(ValueError(f"bad key: {key}")))
    assert "abcdefghijkl" not in desk.path.read_text()


def test_a_secret_that_was_cut_off_is_masked(desk: Desk) -> None:
    log.warning("x" * 3_990 + SECRET)
    assert SECRET[:10] not in desk.path.read_text()


def test_a_job_has_its_own_mask(tmp_path: Path) -> None:
    path = tmp_path / log.FILE

    def mask_of(job: Any) -> Callable[[str], str]:
        return Redactor([SECRET] if job is not None else []).text

    with log.opened(lambda: log.Log(str(path), log.INFO, FakeClock(NOON).now, mask_of)):
        log.info(f"a {SECRET}", job=make_job("own"))
    assert path.read_text().endswith(" job=own a ***\n")


# --- what is written ---


@pytest.mark.parametrize("name", log.LEVELS)
def test_a_level_lets_through_what_is_as_grave(desk: Desk, name: str) -> None:
    desk.level = log.LEVELS[name]
    for number in sorted(log.LEVELS.values()):
        log.write(number, "said")
    wanted = [number for number in sorted(log.LEVELS.values()) if number >= log.LEVELS[name]]
    assert [log.LEVELS[line.split()[1].lower()] for line in desk.lines] == wanted


def test_without_an_open_log_nothing_is_written_and_no_fault_has_a_reference(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with log.opened(desk.make):
        pass
    found = guarded(fail(ValueError("x")))
    assert isinstance(found, Failure)
    assert set(found.details) == {"type", "where"}
    assert desk.lines == []


def test_the_same_warning_is_written_once_a_minute(desk: Desk) -> None:
    for _ in range(3):
        log.warning("Busy", job="a")
        log.warning("Busy", job="b")
    assert len(desk.lines) == 2
    desk.clock.advance(seconds=log.REPEATED_SEC - 1)
    log.warning("Busy", job="a")
    assert len(desk.lines) == 2
    desk.clock.advance(seconds=1)
    log.warning("Busy", job="a")
    assert len(desk.lines) == 3


def test_a_clock_that_is_set_back_silences_no_warning(desk: Desk) -> None:
    log.warning("Busy")
    desk.clock.wall -= timedelta(hours=1)
    log.warning("Busy")
    assert len(desk.lines) == 2


def test_lines_of_what_is_as_it_should_be_are_all_written(desk: Desk) -> None:
    log.info("Started")
    log.info("Started")
    assert len(desk.lines) == 2


def test_reopening_takes_new_settings_and_does_nothing_while_no_log_is_open(desk: Desk, tmp_path: Path) -> None:
    log.info("one")
    other = Desk(tmp_path / "other")
    other.path.parent.mkdir()
    log.reopen(other.make)
    log.info("two")
    assert [len(desk.lines), len(other.lines)] == [1, 1]
    with log.opened(other.make):
        pass
    log.info("back")
    assert [len(desk.lines), len(other.lines)] == [1, 2]


# --- faults, and what is tolerated ---


def test_a_fault_has_a_reference_under_which_its_traceback_stands(desk: Desk) -> None:
    found = guarded(fail(ZeroDivisionError("by zero")), job="report", run_id="report-1")
    assert isinstance(found, Failure)
    reference = str(found.details["reference"])
    assert re.fullmatch("err-[0-9a-f]{8}", reference)
    assert found.details["log"] == str(desk.path)
    assert found.details["type"] == "ZeroDivisionError"
    assert str(found.details["where"]).startswith("test_log.py:")
    assert reference in str(found.details["hint"])
    head = next(line for line in desk.lines if f"ref={reference}" in line)
    assert "job=report run=report-1 code=INTERNAL_ERROR" in head
    assert "    ZeroDivisionError: by zero" in desk.lines
    assert any("test_log.py" in line and "in work" in line for line in desk.lines)


def test_the_same_fault_has_the_same_reference_and_another_has_another(desk: Desk) -> None:
    def reference(text: str, kind: type[Exception] = ValueError) -> object:
        return failure_of(_raised(kind(text))).details["reference"]

    assert reference("one") == reference("two")
    assert reference("one", KeyError) != reference("one")


def _raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as found:
        return found


def test_an_error_of_ours_with_the_code_of_a_fault_is_one_and_keeps_its_details_and_hint(desk: Desk) -> None:
    failure = failure_of(_raised(InternalError("It changed too much", hint="Look.", details={"file": "a"})))
    assert failure.message == "It changed too much"
    assert failure.details["file"] == "a"
    assert str(failure.details["hint"]).startswith("Look. ")
    assert str(failure.details["reference"]) in str(failure.details["hint"])
    assert "    core.errors.InternalError: It changed too much" in desk.lines


def test_an_error_that_is_expected_is_a_line_for_who_follows_each_step(desk: Desk) -> None:
    found = guarded(fail(DatabaseLocked("busy", hint="Wait.")), job="a")
    assert found == Failure("DATABASE_LOCKED", "busy", {"hint": "Wait."})
    (line,) = desk.lines
    assert line.split()[1] == "DEBUG"
    assert line.endswith("job=a code=DATABASE_LOCKED busy")


def test_an_error_that_nobody_reports_is_a_warning_with_what_was_not_done(desk: Desk) -> None:
    guarded(fail(DatabaseLocked("busy")), "The ping was not recorded")
    assert desk.lines == [f"{HEAD} code=DATABASE_LOCKED The ping was not recorded: busy"]


def test_what_is_tolerated_leaves_a_line_and_goes_on(desk: Desk) -> None:
    with log.tolerated(CronError, "Nothing was noted", job="a", run_id="a-1"):
        raise DatabaseLocked("busy")
    assert desk.lines == [f"{HEAD} job=a run=a-1 code=DATABASE_LOCKED Nothing was noted: busy"]


def test_an_error_of_the_system_has_its_name_for_a_code(desk: Desk) -> None:
    with log.tolerated(OSError, "Not written"):
        raise OSError(errno.ENOSPC, "No space left on device", "/a/b")
    assert desk.lines == [f"{HEAD} code=ENOSPC Not written: /a/b: No space left on device"]


def test_any_other_error_passes(desk: Desk) -> None:
    with pytest.raises(LeaseLost), log.tolerated(DatabaseLocked, "Nothing"):
        raise LeaseLost("gone")
    with log.tolerated(DatabaseLocked, "Nothing"):
        pass
    assert desk.lines == []


LOCKED = DatabaseLocked("the database is locked")


@pytest.mark.parametrize(
    ("method", "job", "said"),
    [
        ("record_child", {}, "The run's process was not stored"),
        ("spend", {}, "What a call has used will be stored later"),
        ("spent", {"max_cost_usd_per_day": 1.0, "max_retries": 1}, "The budget of the day was not checked"),
        ("cancel_requested_by", {"max_retries": 1}, "It was not checked whether the run was cancelled"),
        ("renew", {}, "The lease was not renewed"),
        ("release_permit", {"max_retries": 1}, "The run keeps its permit while it waits for its retry"),
        ("take_permit", {"max_retries": 1}, "No permit was requested"),
        ("finish", {}, "The verdict ok could not be stored"),
        ("find", {"session_mode": "persistent"}, "The run starts without the session of the last one"),
    ],
)
def test_a_database_that_refuses_once_costs_a_run_a_line_of_the_log(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, method: str, job: dict[str, Any], said: str
) -> None:
    bench = make_bench(failed() if job.get("max_retries") else answered(), replace(answered(), usage=Usage(0.5)))
    if not job.get("max_retries"):
        bench.invoke.outcomes = bench.invoke.outcomes[1:]

    def during(beat: Callable[[], None]) -> None:
        bench.clock.advance(seconds=bench.limits.lease_sec)
        beat()

    bench.invoke.during = during
    room: Any = bench.memory if method == "find" else bench.ledger
    honest, refusals = getattr(room, method), [LOCKED]

    def refuse_once(*words: object) -> object:
        if refusals:
            raise refusals.pop()
        return honest(*words)

    monkeypatch.setattr(room, method, refuse_once)
    bench.run(make_run(**job))
    assert bench.verdict.status is RunStatus.OK
    (line,) = [line for line in desk.lines if " WARNING " in line]
    assert f"job=report run=report-20260225T120000 code=DATABASE_LOCKED {said}: {LOCKED.message}" in line


def test_a_run_says_when_it_starts_and_how_it_ends(desk: Desk) -> None:
    bench = make_bench(failed("TIMEOUT", "too slow"))
    bench.invoke.during = lambda _beat: bench.clock.advance(seconds=3)
    bench.run(make_run())
    names = "job=report run=report-20260225T120000"
    starts, ends = (line.split(f"pid={os.getpid()} ")[1] for line in desk.lines)
    assert starts == f"{names} The run starts (schedule)"
    assert ends == f"{names} code=TIMEOUT The run ended: error after 3.0 s, attempt 1"


# --- a log that can't be written ---


def test_a_folder_that_is_not_there_is_said_once_and_hurts_nothing(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.path = desk.path.parent / "gone" / log.FILE
    log.warning("a")
    log.warning("b")
    found = guarded(fail(ValueError("x")))
    assert isinstance(found, Failure)
    assert "reference" not in found.details
    assert capsys.readouterr().err == f"The log {desk.path} can't be written: No such file or directory\n"


def test_lines_that_say_that_all_is_well_are_lost_in_silence(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.path = desk.path.parent / "gone" / log.FILE
    log.info("a")
    log.debug("b")
    assert capsys.readouterr().err == ""


def test_a_warning_that_could_not_be_written_is_tried_again(desk: Desk) -> None:
    desk.path.mkdir()
    log.warning("a")
    desk.path.rmdir()
    log.warning("a")
    assert len(desk.lines) == 1


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_not_written_into(desk: Desk, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    victim = desk.path.parent / "victim"
    victim.write_text("mine")
    if kind == "link":
        desk.path.symlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(desk.path)
    else:
        desk.path.mkdir()
    log.warning("a")
    assert victim.read_text() == "mine"
    assert "can't be written" in capsys.readouterr().err


def test_a_fault_of_the_log_itself_hurts_nothing_and_shows_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> log.Log:
        raise ValueError(SECRET)

    with log.opened(broken):
        log.warning("a")
        assert guarded(lambda: 1) == 1
    assert capsys.readouterr().err == f"The log {log.FILE} can't be written: ValueError\n"


# --- --debug ---


def test_tracebacks_go_to_stderr_when_they_are_asked_for_with_secrets_masked(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    log.print_tracebacks()
    log.warning("no traceback")
    guarded(fail(ValueError(f"x {SECRET}")))
    said = capsys.readouterr().err
    assert "    ValueError: x ***\n" in said
    assert SECRET not in said
    assert "no traceback" not in said
    assert said == "".join(f"{line}\n" for line in desk.lines[1:])


def test_tracebacks_can_be_printed_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with log.opened(lambda: log.Log(None, log.ERROR, FakeClock(NOON).now, lambda _job: str)):
        log.print_tracebacks()
        found = guarded(fail(ValueError("x")))
    assert isinstance(found, Failure)
    assert "reference" not in found.details
    assert "ValueError: x" in capsys.readouterr().err


# --- the file ---


def test_half_a_line_that_a_full_disk_left_is_ended_first(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"half")
    log_file.append(str(path), b"whole\n", 1_000, 3)
    assert path.read_bytes() == b"half\nwhole\n"


def test_a_file_that_is_long_is_put_aside_and_only_so_many_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    for number in range(20):
        log_file.append(str(path), f"line {number:02}\n".encode(), 16, 3)
    assert not path.exists()
    kept = [(tmp_path / f"a.log.{number}").read_text() for number in (1, 2, 3)]
    assert kept == ["line 18\nline 19\n", "line 16\nline 17\n", "line 14\nline 15\n"]
    assert len(list(tmp_path.iterdir())) == 3


def test_who_opened_the_file_before_it_was_put_aside_does_not_put_the_next_one_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("old\n")
    late = os.open(path, os.O_RDWR | os.O_APPEND)
    try:
        path.rename(tmp_path / "a.log.1")
        path.write_text("new\n")
        log_file._rotate(late, str(path), 3)
    finally:
        os.close(late)
    assert path.read_text() == "new\n"
    assert (tmp_path / "a.log.1").read_text() == "old\n"


def test_a_file_that_another_puts_aside_is_left_to_it(tmp_path: Path) -> None:
    import fcntl

    path = tmp_path / "a.log"
    path.write_text("x" * 100 + "\n")
    other = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        log_file.append(str(path), b"line\n", 16, 3)
        assert path.read_text().endswith("line\n")
    finally:
        os.close(other)
    log_file.append(str(path), b"last\n", 16, 3)
    assert (tmp_path / "a.log.1").read_text().endswith("line\nlast\n")

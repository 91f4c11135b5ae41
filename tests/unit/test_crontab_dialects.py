"""The dialects of crontabs: each form becomes the job that does the same, or is noted, or refused with what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from install.crontab_fields import is_field
from install.crontab_lines import Unreadable, parse
from tests.support_crontab_dialects import CASES, TERMS, Case, planned, table, verdict

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "import-crontab.md"


@pytest.mark.parametrize("case", CASES, ids=[f"{case.dialects}: {case.text!r}" for case in CASES])
def test_each_form_of_each_dialect_is_understood_noted_or_refused(case: Case) -> None:
    made = planned(case.text, system=case.system)
    assert verdict(made) == case.verdict, (made.new, made.refused)
    reasons = [f"{why.reason}. {why.hint}" for _, why in made.refused]
    assert case.told in " ".join([*reasons, *(note for new in made.new for note in new.notes)])
    if case.verdict == "refused":
        assert {why.code for _, why in made.refused} == {case.code}
        assert all(why.hint for _, why in made.refused)
        return
    (new,) = made.new
    assert not case.schedule or new.entry["schedule"] == case.schedule
    assert not case.command or new.line.command == case.command
    assert dict(case.env).items() <= new.entry["env"].items()
    assert new.entry.get("timezone", "") == case.timezone


def test_the_table_in_the_guide_is_fresh() -> None:
    assert table() in GUIDE.read_text(encoding="utf-8"), "run: make docs"


def test_a_table_of_another_program_is_refused_as_a_whole() -> None:
    made = planned("SHELL=/bin/sh\nSTART_HOURS_RANGE=3-22\n1 5 cron.daily run-parts /etc/cron.daily\n"
                   "@monthly 15 cron.monthly run-parts --report /etc/cron.monthly\n")  # fmt: skip
    assert (made.new, [why.code for _, why in made.refused]) == ([], ["ANACRONTAB"] * 2)
    # A single line of anacron among cron's own does not condemn those.
    made = planned("1 5 cron.daily run-parts /etc/cron.daily\n0 3 * * * x\n")
    assert ([why.code for _, why in made.refused], len(made.new)) == (["ANACRONTAB"], 1)
    made = planned("0 3 * * * x\n!reset\n")
    assert (made.new, [why.code for _, why in made.refused]) == ([], ["FCRONTAB"] * 2)


def test_lines_after_a_backslash_are_never_jobs_of_their_own() -> None:
    text = "0 3 * * * a && \\\n0 4 * * * b \\\n&& c\n\n0 5 * * * d\nA=1 \\\n@daily e\n@weekly f\n"
    made = planned(text)
    assert [(line.number, why.code) for line, why in made.refused] == [(n, "CONTINUED") for n in (1, 2, 3, 6, 7)]
    assert [new.line.number for new in made.new] == [5, 8]
    assert any("does not get A" in note for note in made.new[1].notes)
    ((_, why),) = planned("0 3 * * * printf 'a'\\\\\n@daily b\n").refused
    assert why.code == "DOUBLE_BACKSLASH", "an escaped backslash continues nothing"


FIELDS = ["*", "*/5", "0", "1-5", "1,2", "?", "L", "LW", "15W", "6#3", "FRI#2", "5L", "H", "H(0-29)/10", "MON-FRI",
          "jan", "2026", "2026-2030", "~", "0~30", "*~0"]  # fmt: skip
PROGRAMS = ["/1", "./5", "7z", "2to3", "x", "w", "[", "(cd", "~/bin/x", "-n", "monitor", "mon.sh", "A=1",
            "1password", "L/x", "Hello", "$X", "'0'", "", "{", "decode"]  # fmt: skip


def test_a_field_is_told_from_a_program() -> None:
    assert [word for word in FIELDS if not is_field(word)] == []
    assert [word for word in PROGRAMS if is_field(word)] == []


@pytest.mark.parametrize("system", [False, True])
@pytest.mark.parametrize("more", ["*", "* *", "MON", "2027", "? 2027", "1-5 *"])
@pytest.mark.parametrize("before", ["0 5 4 * *", "@daily", "-0 5 4 * *"])
def test_no_command_begins_with_a_field(before: str, more: str, system: bool) -> None:
    for user in ("root ", "") if system else ("",):
        (line,) = parse(f"{before} {user}{more} /opt/x", system=system)
        assert isinstance(line, Unreadable), line
        assert (line.code, bool(line.hint)) == ("TOO_MANY_FIELDS", True)


@given(st.lists(st.sampled_from([*FIELDS, "@daily", "@", "!", "&", "%", "-", "ana", "x", "\\", "cron.daily", "12h02"]),
                max_size=9).map(" ".join))  # fmt: skip
@example("@a,a(,),a(a 1h2m3 x")
@example("@" + "a" * 200 + " " + "1" * 200)
def test_whatever_the_words_no_job_has_a_field_as_its_program(text: str) -> None:
    for new in planned(text).new:
        assert not is_field(new.line.command.split()[0])
        assert not new.line.text.startswith(("!", "&", "%"))


def test_a_first_word_that_is_an_account_is_noted() -> None:
    terms = replace(TERMS, is_account={"root", "ana", "mail"}.__contains__)
    for text, noted in (("root /usr/bin/x", True), ("ana x", True), ("mail", False), ("x root", False)):
        (new,) = planned(f"0 3 * * * {text}", terms=terms).new
        assert any("--system" in note for note in new.notes) is noted


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("0 0/5 14 * * ?", "write `0-59/5 14 * * *`"),
        ("15 10 * * ? 2026", "write `15 10 * * *`"),
        ("0 15 10 ? * 6L 2026-2030", "The year 2026-2030 can't be kept"),
        ("30 0 12 * * 2", "the second 30 can't be kept"),
        ("0,30 0 12 * * 2", "several times a minute"),
        ("*/20 0 12 * * 2", "several times a minute"),
    ],
)
def test_the_likely_meaning_of_more_fields_is_one_that_can_be_imported(fields: str, told: str) -> None:
    ((_, why),) = planned(f"{fields} /opt/x").refused
    assert told in why.hint
    assert ("There day 1 is Sunday" in why.hint) is ("?" in fields and "6L" in fields)

"""Broken jobs files that a tick meets: it tells of them and goes on with the last good definitions."""

from __future__ import annotations

from tests.acceptance import bad_input_cases_fields, bad_input_cases_file, bad_input_cases_schedules
from tests.acceptance.bad_input_cases import Case
from tests.acceptance.bad_input_cases_file import SYNC

_BROKEN = [
    case
    for case in (*bad_input_cases_file.CASES, *bad_input_cases_fields.CASES, *bad_input_cases_schedules.CASES)
    if case.words == SYNC
]
#: Every file that can't be read, and of the others one in six: what is wrong with a file is not the tick's affair.
_UNREAD = [case for case in _BROKEN if case.code in ("JOBS_FILE_MISSING", "JOBS_FILE_UNREADABLE", "REMOVALS_REFUSED")]
_READ = [case for case in _BROKEN if case not in _UNREAD and not case.process]

CASES: list[Case] = [*_UNREAD, *_READ[::6]]

"""Which zone the machine has, by TZ and /etc, and what is said when these give no plain answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import tzlocal

from schedules.language import check_timezone
from schedules.machine_zone import machine_zone


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tzlocal, "get_localzone_name", lambda: None)
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc"


def localtime(etc: Path, name: str) -> None:
    (etc / "localtime").symlink_to(f"/usr/share/zoneinfo/{name}")


@pytest.mark.parametrize("tz", [None, "Europe/Madrid", ":Europe/Madrid", "/usr/share/zoneinfo/Europe/Madrid",
                                ":/etc/localtime", "/etc/localtime"])  # fmt: skip
def test_a_name_or_the_path_of_a_zone_leaves_no_doubt(etc: Path, tz: str | None) -> None:
    localtime(etc, "Europe/Madrid")
    found = machine_zone(tz, str(etc.parent))
    assert (found.name, found.doubt) == ("Europe/Madrid", "")


@pytest.mark.parametrize("tz", ["", ":", "Nonsense/Zone", "/no/such", "../x", "localtime", "XYZ-99", "Mars"])
def test_any_other_tz_is_ignored_and_said(etc: Path, tz: str) -> None:
    localtime(etc, "Asia/Tokyo")
    found = machine_zone(tz, str(etc.parent))
    assert found.name == "Asia/Tokyo"
    assert "ignored" in found.doubt


def test_a_rule_becomes_a_zone_that_has_it_and_that_is_said(etc: Path) -> None:
    rule = "CET-1CEST,M3.5.0,M10.5.0/3"
    found = machine_zone(rule, str(etc.parent))
    assert found.name.startswith("Europe/")
    assert (rule in found.doubt, found.name in found.doubt) == (True, True)
    localtime(etc, "Europe/Madrid")
    assert machine_zone(rule, str(etc.parent)).name == "Europe/Madrid"
    assert machine_zone("UTC0", str(etc.parent)).name.startswith("Etc/")
    check_timezone(machine_zone("<-03>3", str(etc.parent)).name)


def test_etc_that_contradicts_itself_is_said(etc: Path) -> None:
    localtime(etc, "Europe/Madrid")
    (etc / "timezone").write_text("America/New_York\n")
    found = machine_zone(None, str(etc.parent))
    assert found.name == "Europe/Madrid"
    assert "America/New_York" in found.doubt
    (etc / "timezone").write_text("Europe/Madrid\n")
    assert machine_zone(None, str(etc.parent)).doubt == ""


def test_a_machine_without_a_zone_is_said(etc: Path) -> None:
    found = machine_zone(None, str(etc.parent))
    assert (found.name, "no /etc/localtime" in found.doubt) == ("UTC", True)
    (etc / "timezone").write_text("Europe/Madrid\n")
    found = machine_zone(None, str(etc.parent))
    assert (found.name, "no /etc/localtime" in found.doubt) == ("Europe/Madrid", True)
    (etc / "timezone").unlink()
    (etc / "localtime").write_bytes(b"TZif2")
    assert "without a name" in machine_zone(None, str(etc.parent)).doubt

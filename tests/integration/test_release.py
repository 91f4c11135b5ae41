"""`make release` in a clone that nobody needs: what it refuses, and the tag that it sets."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from core.version import VERSION
from tests.workspace import PATIENCE, PYTHON_WORD, needs
from tools import release

pytestmark = needs("git")

CHANGELOG = """# Changelog

## Unreleased

## 2.0.0 - 2026-03-01

### Added

- Something new.

## 1.0.0 - 2026-02-01

### Added

- The beginning.
"""


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return done.stdout


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that is ready for the release 2.0.0."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "A")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.org")
    root = tmp_path / "tree"
    (root / "core").mkdir(parents=True)
    (root / "core" / "version.py").write_text('VERSION = "2.0.0"\n')
    (root / "CHANGELOG.md").write_text(CHANGELOG)
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "Ready")
    return root


def commit(root: Path, name: str, text: str) -> None:
    (root / name).write_text(text)
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "Changed")


def check(code: str) -> str:
    """A check that runs some Python."""
    return f"{PYTHON_WORD} -c '{code}'"


def test_a_release_is_an_annotated_tag_with_what_the_changelog_says(
    tree: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert release.main(["--check", check('print("checked")')], tree) == 0
    out = capfd.readouterr().out
    assert "checked" in out
    assert "Tagged v2.0.0" in out
    assert git(tree, "cat-file", "-t", "v2.0.0").strip() == "tag"
    assert git(tree, "rev-parse", "v2.0.0^{commit}") == git(tree, "rev-parse", "HEAD")
    message = git(tree, "tag", "--list", "--format=%(contents)", "v2.0.0").strip()
    assert message == "puruto-cron 2.0.0\n\n### Added\n\n- Something new."


def refused(tree: Path, capfd: pytest.CaptureFixture[str], code: str = "") -> str:
    """Why there is no release; there is no tag either."""
    before = git(tree, "tag")
    assert release.main(["--check", check(code)], tree) == 1
    assert git(tree, "tag") == before
    return capfd.readouterr().err


def test_a_tree_that_is_not_clean_is_refused_before_the_checks(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tree / "new.txt").write_text("new")
    said = refused(tree, capfd, 'open("ran", "w")')
    assert "new.txt" in said
    assert not (tree / "ran").exists()


def test_checks_that_fail_leave_no_tag(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "failed" in refused(tree, capfd, "raise SystemExit(3)")


def test_checks_that_change_the_tree_leave_no_tag(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "left.txt" in refused(tree, capfd, 'open("left.txt", "w").close()')


def test_checks_that_end_on_another_commit_leave_no_tag(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    moves = 'import subprocess; subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "x"], check=True)'
    assert "Another commit" in refused(tree, capfd, moves)


@pytest.mark.parametrize("tag", ["v2.0.0", "v2.0.1", "v10.0.0"])
def test_a_version_that_is_not_newer_than_every_tag_is_refused(
    tree: Path, capfd: pytest.CaptureFixture[str], tag: str
) -> None:
    git(tree, "tag", tag)
    assert tag in refused(tree, capfd)


def test_older_tags_and_tags_that_are_no_versions_do_not_matter(tree: Path) -> None:
    for tag in ("v1.9.0", "v2.0.0rc1", "very-old"):
        git(tree, "tag", tag)
    assert release.main(["--check", check("")], tree) == 0


@pytest.mark.parametrize("text", ["", 'VERSION = ""\n', 'VERSION = "two"\n', 'VERSION = "2.0.0-rc.1"\n'])
def test_a_version_that_is_none_is_refused(tree: Path, capfd: pytest.CaptureFixture[str], text: str) -> None:
    commit(tree, "core/version.py", text)
    assert "core/version.py" in refused(tree, capfd)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (CHANGELOG, "", "no section"),
        ("## 2.0.0 - 2026-03-01", "## 2.0.1 - 2026-03-01", "no section"),
        ("## 2.0.0 - 2026-03-01", "## 2.0.0", "no date"),
        ("## 2.0.0 - 2026-03-01", "## 2.0.0 - soon", "no date"),
        ("- Something new.\n", "", "names no change"),
        ("## Unreleased\n", "## Unreleased\n\n### Fixed\n\n- A fault.\n", "Unreleased"),
    ],
)
def test_a_changelog_that_does_not_describe_the_release_is_refused(
    tree: Path, capfd: pytest.CaptureFixture[str], old: str, new: str, why: str
) -> None:
    assert old in CHANGELOG
    commit(tree, "CHANGELOG.md", CHANGELOG.replace(old, new))
    assert why in refused(tree, capfd)


def test_the_version_of_this_project_is_found() -> None:
    assert release.version_of(release.ROOT) == VERSION


def test_the_changelog_of_this_project_has_a_section_for_its_version() -> None:
    changelog = (release.ROOT / release.CHANGELOG).read_text(encoding="utf-8")
    waiting = changelog.split("## Unreleased\n", 1)[1].split("\n## ", 1)[0]
    assert release.notes_of(changelog.replace(waiting, ""), VERSION)

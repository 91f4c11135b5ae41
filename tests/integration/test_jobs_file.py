"""The jobs file on the disk, and the documents that are generated from its definition."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import JobsFileInvalid, JobsFileMissing, JobsFileNotJson, JobsFileUnreadable
from core.job import Job
from jobs import jobs_file
from store import job_codec
from tests.support_jobs import FULL, FULL_JOB, GOOD, check_schedule
from tests.workspace import PATIENCE
from tools import generate_docs

HERE = Path(jobs_file.__file__).resolve().parents[1]


def read(path: Path) -> jobs_file.JobsFile:
    return jobs_file.read_jobs(path, check_schedule)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".jobs.json"


def test_a_good_file_is_read(file: Path) -> None:
    file.write_text(json.dumps({"jobs": [GOOD, FULL]}), encoding="utf-8")
    assert read(file).jobs == (Job(**GOOD), FULL_JOB)


def test_a_link_to_a_good_file_is_read(file: Path) -> None:
    file.with_name("real.json").write_text('{"jobs": []}', encoding="utf-8")
    file.symlink_to("real.json")
    assert read(file).jobs == ()


def test_errors_name_the_file(file: Path) -> None:
    file.write_text("{", encoding="utf-8")
    with pytest.raises(JobsFileNotJson) as not_json:
        read(file)
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(JobsFileInvalid) as invalid:
        read(file)
    for caught in (not_json, invalid):
        assert caught.value.message.startswith(f"{file}: ")
        assert caught.value.details["file"] == str(file)


def test_a_missing_file_is_reported_with_what_to_write(file: Path) -> None:
    with pytest.raises(JobsFileMissing, match="does not exist") as caught:
        read(file)
    assert '{"jobs": []}' in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_broken_link_is_reported(file: Path) -> None:
    file.symlink_to("nothing")
    with pytest.raises(JobsFileMissing, match="is a broken link"):
        read(file)


def test_a_link_to_itself_is_refused(file: Path) -> None:
    file.symlink_to(file)
    with pytest.raises(JobsFileUnreadable, match="symbolic links"):
        read(file)


def test_a_folder_in_its_place_is_refused(file: Path) -> None:
    file.mkdir()
    with pytest.raises(JobsFileUnreadable, match="is a folder"):
        read(file)


def test_a_file_in_place_of_its_folder_is_refused(file: Path) -> None:
    file.write_text("", encoding="utf-8")
    with pytest.raises(JobsFileUnreadable, match="Not a directory"):
        read(file / "x")


def test_a_pipe_is_refused_without_waiting_for_a_writer(file: Path) -> None:
    os.mkfifo(file)
    with pytest.raises(JobsFileUnreadable, match="is not a regular file"):
        read(file)


def test_a_device_is_refused(file: Path) -> None:
    file.symlink_to("/dev/zero")
    with pytest.raises(JobsFileUnreadable, match="is not a regular file"):
        read(file)


def test_a_huge_file_is_refused_unread(file: Path) -> None:
    with open(file, "wb") as hole:
        hole.truncate(256 * 1024 * 1024 + 1)
    with pytest.raises(JobsFileUnreadable, match="larger than 256 MiB"):
        read(file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(file: Path) -> None:
    file.write_text('{"jobs": []}', encoding="utf-8")
    file.chmod(0)
    with pytest.raises(JobsFileUnreadable, match="can't be read: it belongs to"):
        read(file)


def test_a_read_error_is_reported(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("{}")

    def failing(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("core.bounded_file._read", failing)
    with pytest.raises(JobsFileUnreadable, match="Input/output error"):
        read(file)


def test_reading_changes_nothing(file: Path) -> None:
    file.write_text(json.dumps({"jobs": [{**GOOD, "lease_owner": "x"}]}), encoding="utf-8")
    before = file.stat().st_mtime_ns, file.read_bytes()
    read(file)
    assert (file.stat().st_mtime_ns, file.read_bytes()) == before
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_a_changed_file_has_another_digest(file: Path) -> None:
    file.write_text('{"jobs": []}', encoding="utf-8")
    first = read(file).digest
    file.write_text('{"jobs": [] }', encoding="utf-8")
    assert read(file).digest != first


def test_ten_thousand_jobs_are_read(file: Path) -> None:
    entries = [{**GOOD, "job_id": f"job-{number}"} for number in range(10_000)]
    file.write_text(json.dumps({"jobs": entries}), encoding="utf-8")
    assert len(read(file).jobs) == 10_000


@pytest.mark.process
def test_stored_jobs_are_read_without_the_checkers_libraries() -> None:
    code = (
        "import sys; from store.job_codec import *; text = sys.argv[1]; assert job_json(job_from_json(text)) == text;"
        "print([name for name in ('pydantic', 'jobs', 'difflib', 'hashlib') if name in sys.modules])"
    )
    # Under `make coverage` each process is measured by something that imports these itself.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", code, job_codec.job_json(FULL_JOB)]
    done = subprocess.run(command, cwd=HERE, env=environ, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.process
def test_the_library_for_schemas_is_loaded_only_for_a_job_that_has_one() -> None:
    code = (
        "import json, sys; from jobs import jobs_file; entry = json.loads(sys.argv[1]);"
        "parse = lambda: jobs_file.parse_jobs(json.dumps({'jobs': [entry]}).encode(), 'x', lambda *_: None);"
        "parse(); print('jsonschema' in sys.modules);"
        "entry['success']['json_schema'] = {}; parse(); print('jsonschema' in sys.modules)"
    )
    entry = {**GOOD, "success": {"stdout_matches": "x", "file_changed": "y"}}
    command = [sys.executable, "-c", code, json.dumps(entry)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.stdout, done.stderr) == ("False\nTrue\n", "")


# --- documents -------------------------------------------------------------------------------------------------


def test_the_schema_in_the_repository_is_the_generated_one() -> None:
    assert (HERE / "docs/jobs.schema.json").read_text(encoding="utf-8") == generate_docs.schema_text()


def test_nothing_that_is_generated_is_out_of_date() -> None:
    assert generate_docs.outdated(HERE) == {}, "run: make docs"


def test_documents_are_written_once_and_then_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- generated: job fields -->\nold\n<!-- end generated -->\nafter\n", encoding="utf-8")
    assert generate_docs.main(["--check"], tmp_path) == 1
    told = capsys.readouterr().err
    assert all(name in told for name in ("README.md", "docs/jobs.schema.json", ".env.example"))
    assert "old" in readme.read_text(encoding="utf-8")
    assert generate_docs.main([], tmp_path) == 0
    assert readme.read_text(encoding="utf-8") == (
        f"before\n<!-- generated: job fields -->\n{jobs_file.fields_table()}<!-- end generated -->\nafter\n"
    )
    assert generate_docs.main(["--check"], tmp_path) == 0
    assert generate_docs.outdated(tmp_path) == {}


def test_a_document_without_markers_is_left_alone(tmp_path: Path) -> None:
    text = "no markers\n"
    assert generate_docs.with_tables(text) == text


def test_two_tables_in_one_document_are_both_made(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs/formats.md"
    block = "<!-- generated: {} -->\n<!-- end generated -->\n"
    page.write_text(block.format("environment") + "x\n" + block.format("job fields"), encoding="utf-8")
    generate_docs.main([], tmp_path)
    text = page.read_text(encoding="utf-8")
    assert generate_docs.environment_table() in text
    assert jobs_file.fields_table() in text


@pytest.mark.parametrize(
    "text",
    [
        "<!-- generated: job fields -->\nnever closed\n",
        "<!-- generated: nothing -->\n<!-- end generated -->\n",
        "<!-- generated: job fields -->\n<!-- generated: environment -->\n<!-- end generated -->\n",
    ],
)
def test_broken_markers_are_refused_and_nothing_is_written(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    assert generate_docs.main([], tmp_path) == 1
    assert capsys.readouterr().err.startswith("README.md: ")
    assert [entry.name for entry in tmp_path.iterdir()] == ["README.md"]


def test_the_generator_runs_as_a_program_from_any_folder(tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "tools/generate_docs.py"), "--check"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    old = [str(path.relative_to(HERE)) for path in generate_docs.outdated(HERE)]
    assert (done.returncode, done.stdout) == (1 if old else 0, "")
    assert [line.split(" is out of date")[0] for line in done.stderr.splitlines()] == old
    assert subprocess.run([*command, "x"], cwd=tmp_path, capture_output=True, timeout=PATIENCE).returncode == 2

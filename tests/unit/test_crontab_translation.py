"""Crontabs as people and packages write them: what is read in them, and what jobs they become."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ScheduleError
from install import units
from install.crontab_lines import Entry, Line, Unreadable, Variable, is_system, parse
from install.crontab_names import Names, base_name
from install.crontab_plan import Plan, plan
from install.crontab_starts import marked
from install.crontab_translation import PATH, Refused, Terms, essence, secrets_in, translated, use_of
from schedules import language

TERMS = Terms("puruto-target", in_home=True, account="ana")

DEBIAN = """# /etc/crontab: system-wide crontab
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

# .---------------- minute (0 - 59)
# *  *  *  *  * user-name command to be executed
17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly
25 6\t* * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
47 6\t* * 7\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }
52 6\t1 * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.monthly; }
#
"""
CRON_D = """# The first element of the path is a directory where the debian-sa1
PATH=/usr/lib/sysstat:/usr/sbin:/usr/sbin:/usr/bin:/sbin:/bin
5-55/10 * * * * root command -v debian-sa1 > /dev/null && debian-sa1 1 1
09,39 *     * * *     root   [ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ]; then /usr/lib/php/sessionclean; fi
30 3 * * 0 root test -e /run/systemd/system || SERVICE_MODE=1 /usr/lib/x86_64-linux-gnu/e2fsprogs/e2scrub_all_cron
"""  # noqa: E501


def one(text: str, *, system: bool = False) -> Line:
    (line,) = parse(text, system=system)
    return line


def entry(text: str) -> Entry:
    line = parse(text, system=False)[-1]
    assert isinstance(line, Entry), line
    return line


# --- reading ---


def test_debians_own_crontab_is_read() -> None:
    lines = parse(DEBIAN, system=True)
    assert [line.number for line in lines] == [2, 3, 7, 8, 9, 10]
    last = lines[-1]
    assert isinstance(last, Entry)
    assert (last.when, last.user) == ("52 6 1 * *", "root")
    assert last.command.startswith("test -x /usr/sbin/anacron || {")
    assert last.environ == {"SHELL": "/bin/sh", "PATH": "/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin"}


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("A=one", "A", "one"),
        ('B = "two words"  ', "B", "two words"),
        ("'C' = 'x'", "C", "x"),
        ("D=  spaced  # no comment  ", "D", "spaced  # no comment"),
        ("\t E\t=\tx", "E", "x"),
        ('MAILTO=""', "MAILTO", ""),
        ("MAILTO=", "MAILTO", ""),
        ("F=a=b", "F", "a=b"),
        ('G=it\'s "it"', "G", 'it\'s "it"'),
        ("PATH=$HOME/bin", "PATH", "$HOME/bin"),
        ('"Q Q"=5', "Q Q", "5"),
        ("H=5\r", "H", "5"),
    ],
)
def test_a_variable_is_read_as_cron_reads_it(text: str, name: str, value: str) -> None:
    line = one(text)
    assert isinstance(line, Variable)
    assert (line.name, line.value) == (name, value)


@pytest.mark.parametrize(
    ("text", "command", "stdin"),
    [
        ("echo hi", "echo hi", None),
        (r"date +\%F", "date +%F", None),
        # Measured with Debian's cron 3.0pl1.
        (r"printf 'a\\b' 'c\%d' 'e\\\%f' 'g\nh'", r"printf 'a\b' 'c%d' 'e\%f' 'g\nh'", None),
        (r"cat > in%line 1%line \% 2%%back\slash\\ end\ ", "cat > in", "line 1\nline % 2\n\nback\\slash\\\\ end\\ \n"),
        ("cat%", "cat", None),
        ("cat%%", "cat", "\n"),
        ("cat%a%", "cat", "a\n"),
        ("cat \\\\", "cat \\", None),
        ("-n -q cat", "cat", None),
    ],
)
def test_a_percent_sign_divides_the_command_from_its_input(text: str, command: str, stdin: str | None) -> None:
    line = entry(f"* * * * * {text}")
    assert (line.command, line.stdin) == (command, stdin)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("  5\t4  * * mon\tx", "5 4 * * mon"),
        ("-*/5 * * * * x", "*/5 * * * *"),
        ("@daily x", "@daily"),
        ("\ufeff* * * * * x", "* * * * *"),
        ("* * * * * x\r\n\r\n", "* * * * *"),
        ("\f\n\n* * * * * x", "* * * * *"),
    ],
)
def test_when_it_runs_is_read(text: str, when: str) -> None:
    line = entry(text)
    assert (line.when, line.command) == (when, "x")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("* * * * *", "no command"),
        ("@daily", "no command"),
        ("* * * * * %input", "no command"),
        ("nonsense", "not NAME=value"),
        ("- bad", "not NAME=value"),
        ('A="x', "quotes"),
        ("A='x' y", "quotes"),
        ("* * * * * a\0b", "NUL"),
        ("* * * * * caf\udce9", "UTF-8"),
        ("A=\udce9", "UTF-8"),
    ],
)
def test_a_line_that_is_neither_is_refused_with_its_reason(text: str, told: str) -> None:
    line = one(text)
    assert isinstance(line, Unreadable)
    assert told in line.reason
    assert line.hint


def test_a_system_crontab_needs_a_user_and_a_command() -> None:
    for text in ("* * * * *", "* * * * * root", "@daily root "):
        assert isinstance(one(text, system=True), Unreadable)


def test_a_variable_holds_for_the_lines_below_it() -> None:
    first, second = (
        line for line in parse("A=1\n@daily x\nA=2\nB=3\n@daily x", system=False) if isinstance(line, Entry)
    )
    assert (first.environ, second.environ) == ({"A": "1"}, {"A": "2", "B": "3"})


ACCOUNTS = {"root", "mail", "www-data", "backup"}


@pytest.mark.parametrize(
    ("text", "system"),
    [
        (DEBIAN, True),
        (CRON_D, True),
        ("0 3 * * * backup /srv\n0 4 * * * mail -s x ana", False),
        ("0 3 * * * root x\n0 4 * * * /usr/bin/y z", False),
        ("0 3 * * * root x\n0 4 * * * www-data z", True),
        ("0 3 * * * root x\nnonsense", False),
        ("A=root", False),
        ("", False),
    ],
)
def test_the_form_with_users_is_recognised_only_if_it_is_certain(text: str, system: bool) -> None:
    assert is_system(text, ACCOUNTS.__contains__) is system


def test_only_whole_blocks_of_ours_are_marked() -> None:
    block = units.block(units.Copy("/a b", "/p", "/l"))
    assert marked(f"x\n{block}y\n") == {3}
    assert marked(f"x\n{block.rpartition('# <<<')[0]}y\n") == set()


# --- translating ---


def job(text: str, terms: Terms = TERMS) -> dict[str, Any]:
    found = translated(entry(text), terms)
    assert not isinstance(found, Refused), found
    return dict(found.fields)


def notes(text: str) -> str:
    found = translated(entry(text), TERMS)
    assert not isinstance(found, Refused)
    return "; ".join(found.notes)


def test_a_job_is_run_by_the_shell_in_home_with_crons_path() -> None:
    made = job("0 3 * * * a | b > c && d")
    assert made["command"] == ["/bin/sh", "-c", 'cd && exec "$0" -c "$1"', "/bin/sh", "a | b > c && d"]
    assert made["env"] == {"SHELL": "/bin/sh", "PATH": PATH}
    assert (made["schedule"], made["enabled"], made["puruto_target"]) == ("0 3 * * *", False, "puruto-target")
    assert "timezone" not in made
    assert notes("0 3 * * * a | b > c && d 2>&1") == ""


def test_in_a_target_it_runs_there() -> None:
    terms = Terms("t", in_home=False, account="ana", timezone="Asia/Tokyo", enabled=True)
    made = job("SHELL=/bin/bash\n0 3 * * * a", terms)
    assert made["command"] == ["/bin/bash", "-c", "a"]
    assert (made["timezone"], made["enabled"], made["env"]["SHELL"]) == ("Asia/Tokyo", True, "/bin/bash")
    assert job("0 3 * * * a%b%c", terms)["command"][3:] == ["/bin/sh", "a", "b\nc"]


def test_the_special_variables_go_where_they_belong() -> None:
    text = (
        'MAILTO=ana\nCRON_TZ=Europe/Madrid\nTZ=Asia/Tokyo\nHOME=/srv\nLOGNAME=eve\nRANDOM_DELAY=5\n"B C"=1\n'
        "PURUTO_CRON_TIMEZONE=UTC\nMY=x\n"
    )
    made = job(f"{text}@daily a")
    assert made["env"] == {"SHELL": "/bin/sh", "PATH": PATH, "TZ": "Asia/Tokyo", "HOME": "/srv", "MY": "x"}
    assert made["timezone"] == "Europe/Madrid"
    assert job(f'{text}@daily mail "$MAILTO"')["env"]["MAILTO"] == "ana"
    uses = {line.name: use_of(line)[0] for line in parse(text, system=False) if isinstance(line, Variable)}
    assert uses == {
        "MAILTO": "not_taken_over", "CRON_TZ": "timezone", "TZ": "env", "HOME": "env", "LOGNAME": "not_taken_over",
        "RANDOM_DELAY": "not_taken_over", "B C": "not_taken_over", "PURUTO_CRON_TIMEZONE": "not_taken_over",
        "MY": "env",
    }  # fmt: skip
    assert "does not get B C, PURUTO_CRON_TIMEZONE" in notes(f"{text}@daily a")


@pytest.mark.parametrize(
    ("when", "schedule"),
    [
        ("@every_minute", "* * * * *"),
        ("@midnight", "@midnight"),
        ("5-5 9 1-1,3 jan-jan mon", "5 9 1,3 jan mon"),
        ("15-15/5 * * * 0-7", "15 * * * 0-7"),
        ("1-11 1-12 * * *", "1-11 1-12 * * *"),
        ("0 9 1,15 * fri", "0 9 1,15 * fri"),
        ("0 0 * * 7", "0 0 * * 7"),
    ],
)
def test_schedules_are_translated_to_ours(when: str, schedule: str) -> None:
    assert job(f"{when} x")["schedule"] == schedule
    language.check(schedule, "UTC")
    assert ("means the same" in notes(f"{when} x")) == (when != schedule)


@pytest.mark.parametrize(
    ("when", "code"),
    [
        ("@reboot", "REBOOT"),
        ("0~30 * * * *", "RANDOM_TIME"),
        ("@every_second", "UNKNOWN_WORD"),
        ("@120", "UNKNOWN_WORD"),
        ("@every 5m", "UNKNOWN_WORD"),
    ],
)
def test_lines_without_a_schedule_are_refused(when: str, code: str) -> None:
    found = translated(entry(f"{when} x"), TERMS)
    assert isinstance(found, Refused)
    assert found.code == code
    assert found.hint


def test_a_line_of_another_user_is_refused() -> None:
    mine, other = (translated(line, TERMS) for line in parse("@daily ana x\n@daily eve x", system=True)
                   if isinstance(line, Entry))  # fmt: skip
    assert not isinstance(mine, Refused)
    assert isinstance(other, Refused)
    assert other.code == "OTHER_USER"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("a & b", True), ("nohup a", True), ("a &", True), ("setsid -f a", True),
        ("a && b", False), ("a >& b", False), ("a &> b", False), ("a 2>&1 | b", False), ("curl 'x?a&b'", False),
    ],
)  # fmt: skip
def test_commands_that_leave_background_processes_get_a_note(command: str, told: bool) -> None:
    assert ("background" in notes(f"@daily {command}")) is told


@pytest.mark.parametrize("terms", [TERMS, Terms("t", in_home=False, account="ana")])
@pytest.mark.parametrize("text", ["@daily a", "@daily a%b", "@daily a%%", "SHELL=/bin/zsh\n@daily a%b"])
def test_an_imported_job_is_recognised_whatever_its_folder(terms: Terms, text: str) -> None:
    assert essence(job(text, terms)["command"]) == essence(job(text)["command"]) is not None


@pytest.mark.parametrize("command", [None, [], ["a"], ["sh", "-c"], ["sh", "-x", "a"], "sh -c", ["sh", "-c", "a", "b"]])
def test_other_commands_are_not_taken_for_imported_ones(command: object) -> None:
    assert essence(command) is None


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("x --password=hunter2hunter", ["hunter2hunter"]),
        ("x --api-key 'qwertyuiop' y", ["qwertyuiop"]),
        ("PGPASSWORD=hunter22222 pg_dump", ["hunter22222"]),
        ("curl -H 'Authorization: Bearer abcdefghij' https://u:passw0rdd@h/?token=zzzzzzzzzz",
         ["abcdefghij", "passw0rdd", "zzzzzzzzzz"]),
        ("curl -H 'X-Api-Key: abcdefghij' x", ["abcdefghij"]),
        ("mysqldump -uroot -pSuperSecret1 db", ["SuperSecret1"]),
        ("curl -u me:passw0rd1 h", ["passw0rd1"]),
        ("sort -k 2 --key 3 /etc/passwd | monkey=banana tee", []),
    ],
)  # fmt: skip
def test_texts_that_look_like_secrets_are_found(text: str, secrets: list[str]) -> None:
    assert sorted(secrets_in(text)) == secrets


def test_a_secret_in_the_environment_gets_a_note() -> None:
    told = notes("API_TOKEN=abcdefgh12345\n@daily a")
    assert "API_TOKEN" in told
    assert "abcdefgh" not in told


# --- names ---


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/usr/local/bin/Backup.sh --all", "backup"),
        ("cd /srv/app && /usr/bin/php artisan schedule:run >> /dev/null 2>&1", "artisan"),
        ("cd / && run-parts --report /etc/cron.hourly", "cron.hourly"),
        ("test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }", "cron.daily"),
        ("command -v debian-sa1 > /dev/null && debian-sa1 1 1", "debian-sa1"),
        ("[ -x /u/s ] && if [ ! -d /run/systemd ]; then /usr/lib/php/sessionclean; fi", "sessionclean"),
        ("test -e /run || SERVICE_MODE=1 /usr/lib/e2scrub_all_cron", "e2scrub_all_cron"),
        ("nice -n 10 ionice -c3 flock -n /tmp/lock timeout 60 /opt/x/report.py", "report"),
        ("/usr/bin/env python3.11 -u ~/bin/Ma\u00f1ana.py", "ma-ana"),
        ("sudo -u www-data php -f /var/www/cron.php", "cron"),
        ("python3 -m http.server", "http.server"),
        ("bash -c 'x y'", "x"),
        ("php -d memory_limit=-1 /x/magento", "magento"),
        ("php -dmemory_limit=-1 -f /x/cron.php -- --all", "cron"),
        ("/opt/cpanel/ea-php81/root/usr/bin/php -q cron.php", "cron"),
        ("php -r 'echo 1;'", "php"),
        ("python3 -W ignore report.py", "report"),
        ("python3 -Wignore -X dev -u -- report.py", "report"),
        ("python3 -Im pkg.tool arg", "pkg.tool"),
        ("python3 -uc 'import x'", "python3"),
        ("node --require ./env.js app.js", "app"),
        ("node -r dotenv/config --env-file=.env server.mjs", "server"),
        ("node -e 'x()'", "node"),
        ("perl -MExporter -I lib /x/rotate.pl", "rotate"),
        ("perl -e 'print 1'", "perl"),
        ("ruby -C /srv -rjson job.rb", "job"),
        ("java -Xmx512m -cp a:b -jar /opt/app.jar", "app"),
        ("java -cp a:b com.acme.Main", "com.acme.main"),
        ("make -j4 -C /srv/app backup VERBOSE=1", "backup"),
        ("npm --prefix /srv/app run build", "build"),
        ("npx -p x some-tool", "some-tool"),
        ("deno run --allow-net /x/fetch.ts", "fetch"),
        ("poetry run python tools/sync.py", "sync"),
        ("uv run --with rich tools/sync.py", "sync"),
        ("bundle exec rake db:backup", "db-backup"),
        ("bash -lc 'cd /srv && exec ./run.sh --all'", "run"),
        ("sh -c \"sh -c 'nice -n 5 backup'\"", "backup"),
        ("bash -x -o pipefail /x/job.sh", "job"),
        ("bash", "bash"),
        ("sudo -H -u www-data -- php -d a=b artisan", "artisan"),
        ("sudo", "sudo"),
        ("su - ana -c '/opt/x/clean.sh -v'", "clean"),
        ("su -s /bin/sh -c 'php occ' www-data", "occ"),
        ("runuser -u ana -- /opt/tool", "tool"),
        ("env -i -u A PATH=/bin FOO=1 tool", "tool"),
        ("env", "env"),
        ("nice -10 tool", "tool"),
        ("nice --adjustment 10 ionice -c 2 -n 7 tool", "tool"),
        ("timeout -k 5 --signal=KILL 60 tool", "tool"),
        ("flock -n -w 10 -E 0 /run/lock tool --x", "tool"),
        ("flock /run/lock -c 'cd / && tool'", "tool"),
        ("(flock -n 9 || exit 1; tool) 9> /run/lock", "tool"),
        ("chronic -ev tool", "tool"),
        ("systemd-cat -t name -p info tool", "tool"),
        ("systemd-cat --identifier=name /opt/tool.py", "tool"),
        ("systemd-run --user --unit x -p CPUWeight=10 tool", "tool"),
        ("taskset -c 0-3 tool", "tool"),
        ("command -v foo >/dev/null 2>&1 && tool", "tool"),
        ("! pgrep -x tool && /opt/tool", "tool"),
        ("echo start; /opt/backup.sh", "backup"),
        ("mkdir -p /x && date > /x/y", "mkdir"),
        ("for f in *.log; do gzip $f; done", "gzip"),
        ("while read x; do tool $x; done < list", "tool"),
        ("2>/dev/null tool >> /var/log/other.log", "tool"),
        ("tool 2>&1 | logger -t other", "tool"),
        ("(a; b)", "a"),
        ("echo 'not closed", "echo"),
        ("$HOME/bin/x", "x"),
        ("\u65e5\u672c", "job"),
        ("> /tmp/x", "job"),
        (";", "job"),
        ("..", "job"),
        ("/" + "x" * 300, "x" * 100),
    ],
)
def test_a_job_is_named_for_what_it_runs(command: str, name: str) -> None:
    assert base_name(command) == name


def test_a_name_that_is_taken_gets_a_number() -> None:
    names = Names({"a", "a-2"})
    assert names.free("a") == names.free("a") == "a-3"
    names.take("a-3")
    assert (names.free("a"), names.free("b")) == ("a-4", "b")


# --- deciding ---


def decide(text: str, *jobs: dict[str, Any], terms: Terms = TERMS, ours: str = "\0") -> Plan:
    def check(entry: dict[str, Any]) -> Refused | None:
        try:
            language.check(entry["schedule"], entry.get("timezone") or "UTC")
        except ScheduleError as error:
            return Refused(error.code, error.message)
        return None

    lines = parse(text, system=False)
    return plan(lines, jobs, terms, own_tick=lambda line: ours in line.command, check=check, default_zone="UTC")


def test_a_second_import_adds_nothing_also_where_a_line_stands_twice() -> None:
    text = "@daily a\n@daily a\nX=1\n@daily a\n0 9 * * * b%c\nCRON_TZ=Asia/Tokyo\n@daily a\n"
    first = decide(text)
    assert [new.entry["job_id"] for new in first.new] == ["a", "a-2", "a-3", "b", "a-4"]
    again = decide(text, *(new.entry for new in first.new))
    assert again.new == []
    assert [job_id for _, job_id in again.existing] == ["a", "a-2", "a-3", "b", "a-4"]


def test_a_job_is_recognised_by_schedule_and_command_and_not_by_its_env() -> None:
    (new,) = decide("TOKEN=x\n@daily a").new
    moved = {**new.entry, "job_id": "mine", "env": {}, "allow_env": ["TOKEN"], "timezone": "UTC"}
    assert [job_id for _, job_id in decide("TOKEN=x\n@daily a", moved).existing] == ["mine"]
    for change in ({"schedule": "@weekly"}, {"timezone": "Asia/Tokyo"}, {"command": ["a"]}):
        assert len(decide("@daily a", {**new.entry, **change}).new) == 1


def test_the_job_with_the_same_env_is_preferred() -> None:
    (one, two) = decide("X=1\n@daily a\nX=2\n@daily a").new
    made = decide("X=2\n@daily a", one.entry, two.entry)
    assert [job_id for _, job_id in made.existing] == [two.entry["job_id"]]
    made = decide("X=3\n@daily a\nX=2\n@daily a", two.entry)
    assert [(line.number, job_id) for line, job_id in made.existing] == [(4, "a-2")]
    assert [new.entry["job_id"] for new in made.new] == ["a"]


def test_a_line_that_a_sync_would_refuse_is_left_out_and_takes_no_name() -> None:
    made = decide("61 * * * * a\n@daily a\n@daily tick\n0 0 30 2 * a\nx\n", ours="tick")
    assert [new.entry["job_id"] for new in made.new] == ["a"]
    assert [(line.number, why.code) for line, why in made.refused] == [
        (1, "SCHEDULE_INVALID"), (3, "OWN_TICK"), (4, "SCHEDULE_INVALID"), (5, "UNREADABLE"),
    ]  # fmt: skip


PIECES = st.sampled_from(
    ["*", "5", "@daily", "@reboot", "@", " ", "\t", "\n", "\r\n", "%", "\\", "\\%", "=", "A=", '"', "'", "#", "-", "~",
     "root", "sh -c", "&", ";", "{", "\0", "\udcff", "\u2028", "\x85", "\f", "CRON_TZ=", "SHELL=", "* * * * * ", "cd"]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=5), max_size=40).map("".join), st.booleans())
def test_nothing_is_lost_and_nothing_breaks(text: str, system: bool) -> None:
    lines = parse(text, system=system)
    raw = text.removeprefix("\ufeff").split("\n")
    said = [
        number for number, line in enumerate(raw, start=1) if line.strip() and not line.lstrip(" \t").startswith("#")
    ]
    assert [line.number for line in lines] == said
    made = plan(lines, [], TERMS, own_tick=lambda _: False, check=lambda _: None, default_zone="UTC")
    found = [
        *(new.line for new in made.new), *(line for line, _ in made.existing), *(line for line, _ in made.refused),
        *made.variables,
    ]  # fmt: skip
    assert sorted(line.number for line in found) == said
    names = [new.entry["job_id"] for new in made.new]
    assert len(set(names)) == len(names)
    again = plan(lines, [new.entry for new in made.new], TERMS, own_tick=lambda _: False, check=lambda _: None,
                 default_zone="UTC")  # fmt: skip
    assert again.new == []
    for line in lines:
        secrets_in(line.text)

"""Programs that run another program or a script, with those of their options that take a value: for job names.

Source: their manuals. A missing option costs a poorer name and nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """The options of a program, as far as they take a value, and what stands before the command that it runs."""

    short: str = ""
    """Letters whose value is attached or is the next word."""
    long: frozenset[str] = frozenset()
    """Whole words, with their dashes, whose value is the next word unless there is a `=`."""
    attached: str = ""
    """Letters whose value can only be attached: the rest of the word is no option."""
    line: frozenset[str] = frozenset()
    """Letters and whole words whose value is a shell line, or code."""
    named: frozenset[str] = frozenset()
    """Letters and whole words whose value is what is run: a module or a script."""
    own_arguments: int = 0
    """How many arguments stand before the command."""
    verbs: frozenset[str] = frozenset()
    """First words that only say that something is run: `npm run build`."""


def _options(
    short: str = "", long: str = "", *, attached: str = "", line: str = "", named: str = "", own: int = 0,
    verbs: str = "",
) -> Options:  # fmt: skip
    return Options(short, frozenset(long.split()), attached, frozenset(line.split()), frozenset(named.split()), own,
                   frozenset(verbs.split()))  # fmt: skip


_SHELL = _options("oO", "--rcfile --init-file", line="c")
SHELLS = dict.fromkeys(("sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "csh", "tcsh", "fish"), _SHELL)

WRAPPERS: dict[str, Options] = {
    "sudo": _options("ughpCrtTUDR", "--user --group --host --prompt --chdir --role --type --close-from"),
    "doas": _options("uC"),
    "su": _options("sgG", "--shell --group --supp-group", line="c --command", own=1),
    "runuser": _options("usgG", "--user --shell --group", line="c --command"),
    "setpriv": _options("", "--reuid --regid --groups --inh-caps --bounding-set"),
    "chroot": _options("", own=1),
    "nice": _options("n", "--adjustment"),
    "ionice": _options("cnp", "--class --classdata"),
    "chrt": _options("TP", own=1),
    "taskset": _options("", own=1),
    "cpulimit": _options("leP", "--limit --exe --path"),
    "nohup": _options(),
    "setsid": _options(),
    "env": _options("uC", "--unset --chdir", line="S --split-string"),
    "command": _options(),
    "builtin": _options(),
    "time": _options("fo", "--format --output"),
    "timeout": _options("ks", "--kill-after --signal", own=1),
    "gtimeout": _options("ks", "--kill-after --signal", own=1),
    "flock": _options("wE", "--wait --timeout --conflict-exit-code", own=1),
    "setlock": _options("", own=1),
    "lockf": _options("t", own=1),
    "lockrun": _options("", "--lockfile --maxtime"),
    "chronic": _options(),
    "cronic": _options(),
    "cronitor": _options(own=2),
    "run-one": _options(),
    "run-this-one": _options(),
    "stdbuf": _options("ioe", "--input --output --error"),
    "unbuffer": _options(),
    "systemd-cat": _options("tp", "--identifier --priority --stderr-priority --level-prefix"),
    "systemd-inhibit": _options("", "--what --who --why --mode"),
    "systemd-run": _options(
        "uptMHE",
        "--unit --property --description --slice --uid --gid --nice --setenv "
        "--working-directory --on-calendar --service-type",
    ),
    "caffeinate": _options("tw"),
    "envdir": _options(own=1),
    "direnv": _options(own=2),
    "softlimit": _options("acdfmopstlr"),
    "xvfb-run": _options("nsefpw", "--server-num --server-args --error-file --auth-file --listen-tcp"),
    "dbus-run-session": _options("", "--config-file --dbus-daemon"),
    "runitor": _options("", "-uuid -slug -ping-key -api-url -api-timeout"),
    "xargs": _options("aEIiLlnPsd", "--arg-file --delimiter --max-args --max-procs --replace"),
    "poetry": _options("C", "--directory", own=1),
    "pipenv": _options(own=1),
    "uv": _options("", "--directory --project --with --python --env-file", own=1),
    "bundle": _options(own=1),
    "npx": _options("p", "--package"),
    "pnpx": _options(),
    "uvx": _options("", "--from --with --python"),
    "rbenv": _options(own=1),
    "pyenv": _options(own=1),
    "conda": _options("np", "--name --prefix", own=1),
}

#: Programs that run a script or a task, which names the job.
INTERPRETERS: tuple[tuple[re.Pattern[str], Options], ...] = tuple(
    (re.compile(pattern), options)
    for pattern, options in (
        (r"(?:python|pypy)[0-9.]*[a-z]?", _options("WX", "--check-hash-based-pycs", line="c", named="m")),
        (r"(?:ea-|alt-|lsws-)?(?:ls)?php[0-9.]*(?:-cgi|-cli)?", _options(
            "dczSt", "--define --php-ini --zend-extension --docroot",
            line="r R B E --run --process-code --process-begin --process-end", named="f F --file --process-file")),
        (r"(?:node|nodejs)[0-9]*|tsx|ts-node", _options(
            "rC", "--require --import --loader --experimental-loader --conditions --env-file --title --icu-data-dir "
            "--openssl-config --redirect-warnings --stack-trace-limit --max-old-space-size --cwd --project",
            line="e p --eval --print")),
        (r"perl[0-9.]*", _options("I", attached="MmiFlCDx0V", line="e E")),
        (r"ruby[0-9.]*", _options("ICrE", "--encoding --require", attached="FxTKW", line="e")),
        (r"lua(?:jit)?[0-9.]*", _options("l", line="e")),
        (r"deno|bun", _options("rc", "--config --import-map --preload --cwd --env-file", line="e --eval",
                               verbs="run task x")),
        (r"Rscript|julia|elixir", _options(line="e --eval")),
        (r"java[0-9]*", _options("", "-cp -classpath --class-path -p --module-path --add-modules --add-opens",
                                 attached="XDao", named="-jar -m --module")),
        (r"dotnet", _options("", "--additionalprobingpath --fx-version", verbs="exec run")),
        (r"pwsh|powershell", _options("", "-ExecutionPolicy -ep -WorkingDirectory", line="-Command -c", named="-File")),
        (r"tclsh[0-9.]*|expect|osascript|groovy", _options("l", line="e c")),
        (r"g?make", _options("CfIoW", "--directory --file", attached="jl")),
        (r"run-parts", _options("au", "--arg --umask --regex")),
        (r"npm|pnpm|yarn", _options("C", "--prefix --cwd --dir", verbs="run run-script exec")),
        (r"just|rake|invoke|ansible-playbook", _options(
            "fdeiul", "--file --directory --inventory --extra-vars --limit --tags --vault-password-file")),
    )
)  # fmt: skip

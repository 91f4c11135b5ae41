"""`completion`."""

from __future__ import annotations

import click

from commands.output import print_text

#: Its group in `--help`, and its position in that group.
PLACE = ("Installing and checking", 40)

#: It prints a script for a shell, wherever stdout goes.
HAS_FORMATS = False

PROGRAM = "puruto-cron"
#: Click's variable for this program: its scripts set it when the user presses the completion key.
VARIABLE = "_PURUTO_CRON_COMPLETE"


@click.command("completion")
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script with which a shell completes the commands, options, jobs and runs of `puruto-cron`.

    `make install` puts the command `puruto-cron` into .venv/bin; `python3 main.py` can't be completed. Prints no JSON.

    \b
    Examples:
      eval "$(puruto-cron completion bash)"                       in ~/.bashrc
      eval "$(puruto-cron completion zsh)"                        in ~/.zshrc, after compinit
      python3 main.py completion fish > ~/.config/fish/completions/puruto-cron.fish
    """
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    kind = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}[shell]
    script = kind(ctx.find_root().command, {}, PROGRAM, VARIABLE).source()
    print_text(script.splitlines())

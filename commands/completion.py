"""`completion`."""

from __future__ import annotations

import click

from commands.output import print_text

#: Its group in `--help`, and how far down it stands there.
PLACE = ("Installing, and seeing to it", 40)

PROGRAM = "puruto-cron"
#: Click's variable for this program: set by its scripts when a key is pressed.
VARIABLE = "_PURUTO_CRON_COMPLETE"


@click.command("completion")
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script by which a shell completes commands, options, jobs and runs of `puruto-cron`.

    It is the name that `make install` puts into .venv/bin; `python3 main.py` itself can't be completed. Prints no JSON.

    \b
    Examples:
      eval "$(puruto-cron completion bash)"                       in ~/.bashrc
      eval "$(puruto-cron completion zsh)"                        in ~/.zshrc, behind compinit
      python3 main.py completion fish > ~/.config/fish/completions/puruto-cron.fish
    """
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    kind = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}[shell]
    script = kind(ctx.find_root().command, {}, PROGRAM, VARIABLE).source()
    print_text(script.splitlines())

"""The programs of agents as they come from npm: where `.ci/run` puts them, and what they need to ask our server."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support_agents import AGENT
from tests.support_provider import Asked, Call, Provider
from tests.workspace import Workspace

#: The same folder as in `.ci/run`.
_CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
FOLDER = Path(os.environ.get("PURUTO_TEST_AGENTS") or f"{_CACHE}/puruto-cron-tests/agents")
PROGRAMS = FOLDER / "node_modules" / ".bin"

#: Begins with what would be an option if it were an argument.
PROMPT = '--resume -p: ¿qué tal?\n\n  日本語 🐦, "quoted" $HOME `id` \\n\nthe end'


@dataclass(frozen=True)
class Cli:
    """One program. `node` is the oldest node that runs it, 0 if it needs none."""

    name: str
    package: str
    marker: str
    key_name: str
    own_folder: str
    node: int
    tool: str
    tool_argument: str
    tool_fields: dict[str, object]
    """What lets a job use that tool, a shell, without being asked."""

    @property
    def key(self) -> str:
        """The secret that is given to it."""
        return f"key-of-{self.name}-0123456789"

    def shell(self, command: str) -> Call:
        """The model's wish to run a command."""
        return Call(self.tool, {self.tool_argument: command, "description": "Runs it"})

    def forget(self, home: Path, session_id: str) -> None:
        """Deletes what it keeps of a session."""
        # gemini names its file by the beginning of the id.
        found = [path for path in (home / self.own_folder).rglob(f"*{session_id[:8]}*.json*") if path.is_file()]
        assert found, f"{self.name} keeps no file of its session"
        for path in found:
            path.unlink()


CLIS = {
    cli.name: cli
    for cli in (
        Cli(
            "claude", "@anthropic-ai/claude-code", "CLAUDE.md", "ANTHROPIC_API_KEY", ".claude", 0,
            "Bash", "command", {"allowed_tools": ["Bash"]},
        ),
        Cli(
            "codex", "@openai/codex", "AGENTS.md", "OPENAI_API_KEY", ".codex", 16,
            "exec_command", "cmd", {"permission_mode": "bypassPermissions"},
        ),
        Cli(
            "gemini", "@google/gemini-cli", "GEMINI.md", "GEMINI_API_KEY", ".gemini", 20,
            "run_shell_command", "command", {"permission_mode": "bypassPermissions"},
        ),
    )
}  # fmt: skip


def reason_without(cli: Cli) -> str:
    """Why this machine can't run the real program, or ""."""
    if not os.access(PROGRAMS / cli.name, os.X_OK):
        return (
            f"{cli.package} is missing: no program {PROGRAMS / cli.name}; tests/install_agents.sh {FOLDER} installs it"
        )
    found = _node()
    if cli.node and found < cli.node:
        return f"{cli.package} needs node {cli.node} or newer; here is {found or 'none'}"
    return ""


@functools.cache
def _node() -> int:
    node = shutil.which("node")
    said = subprocess.run([node, "--version"], capture_output=True, text=True).stdout if node else ""
    found = re.match(r"v(\d+)\.", said)
    return int(found[1]) if found else 0


def connect(workspace: Workspace, cli: Cli, provider: Provider) -> Path:
    """Settings by which the program asks our server, and a target for it; the target's folder.

    The key stands in .env, where people who use cron have to put it. No program repeats by itself what failed.
    """
    home = workspace.home.parent
    (workspace.root / ".env").write_text(f"{cli.key_name}={cli.key}\n", encoding="utf-8")
    (home / "tmp").mkdir()
    workspace.environ |= {"PURUTO_CRON_AGENT_PATH": str(PROGRAMS), "TMPDIR": str(home / "tmp")}
    own = home / cli.own_folder
    own.mkdir()
    match cli.name:
        case "claude":
            workspace.environ |= {
                "ANTHROPIC_BASE_URL": provider.url,
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                "CLAUDE_CODE_MAX_RETRIES": "0",
            }
        case "codex":
            (own / "config.toml").write_text(_CODEX.replace("URL", provider.url), encoding="utf-8")
        case "gemini":
            (own / "settings.json").write_text(json.dumps(_GEMINI), encoding="utf-8")
            workspace.environ |= {"GOOGLE_GEMINI_BASE_URL": provider.url, "GEMINI_MODEL": "gemini-2.5-flash"}
    target = workspace.add_target(AGENT, invoke=None)
    (target / cli.marker).write_text("# An agent\n\nYou are the stone of the arch.\n", encoding="utf-8")
    return target


_CODEX = """
model_provider = "ours"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.ours]
name = "ours"
base_url = "URL/v1"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
request_max_retries = 0
stream_max_retries = 0
"""
_GEMINI = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "general": {"maxAttempts": 1, "enableAutoUpdate": False, "enableAutoUpdateNotification": False},
    "privacy": {"usageStatisticsEnabled": False},
}


def conversation_of(asked: Asked) -> list[str]:
    """What was said by us and by tools, without what the program itself puts before it, like the date or its folder."""
    return [text for text in asked.said if not re.match(r"\s*<[a-z_-]+>|# AGENTS.md", text)]


def texts_of(workspace: Workspace, answer: dict[str, Any]) -> str:
    """All that is told of runs anywhere: what run-now printed, the database's files, events, and what people ask."""
    run_id = answer["run_id"]
    said = [workspace.run(*words).stdout for words in (("show", run_id), ("history",), ("logs",))]
    said += [path.read_bytes() for path in workspace.database.parent.iterdir() if path.is_file()]
    said += [workspace.events_file.read_bytes(), json.dumps(answer, ensure_ascii=False).encode()]
    return b"\n".join(said).decode("utf-8", "replace")

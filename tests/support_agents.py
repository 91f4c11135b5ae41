"""A small stand-in for the agents' programs, which does what its prompt asks for, and keeps how it was called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.workspace import PYTHON, Workspace

AGENT = "puruto-agent"

#: One program under three names. `[[say X]]` answers X; `[[fail X]]`, `[[status N]]`, `[[subtype X]]`, `[[denied X]]`,
#: `[[structured X]]`, `[[print X]]`, `[[file X]]` (of the corpus), `[[after N]]` (sleeps when it has answered),
#: `[[full X]]` (fails so in a session that it continues), `[[exit N]]`, `[[turns N]]`, `[[sleep N]]` ask for trouble.
_PROGRAM = r"""
import json, os, pathlib, re, sys, time
name, argv, prompt = pathlib.Path(sys.argv[0]).name, sys.argv[1:], sys.stdin.read()
ask = dict(re.findall(r"\[\[(\w+) ?(.*?)\]\]", prompt, re.S))
with open("calls.jsonl", "a") as log:
    log.write(json.dumps({"name": name, "argv": argv, "prompt": prompt, "env": dict(os.environ)}) + "\n")
calls = len(open("calls.jsonl").readlines())
known = pathlib.Path("sessions.txt")
sessions = known.read_text().split() if known.exists() else []
resumed = next((a.partition("=")[2] for a in argv if a.startswith("--resume=")), "")
if "resume" in argv:
    resumed = argv[argv.index("resume") + 1]
if resumed and resumed not in sessions:
    sys.stderr.write({"claude": "No conversation found with session ID: ", "codex": "no rollout found for thread id ",
                      "gemini": "Invalid session identifier "}[name] + resumed + "\n")
    sys.exit(1)
session = resumed or f"session-{len(sessions) + 1}"
if not resumed:
    known.write_text("\n".join([*sessions, session]))
if resumed and "full" in ask:
    ask["fail"] = ask["full"]
time.sleep(float(ask.get("sleep", 0)))
def end(code):
    sys.stdout.flush()
    time.sleep(float(ask.get("after", 0)))
    sys.exit(code)
if "file" in ask:
    err = pathlib.Path(ask["file"] + ".err")
    sys.stderr.write(err.read_text() if err.exists() else "")
    sys.stdout.buffer.write(pathlib.Path(ask["file"] + ".out").read_bytes())
    end(int(ask.get("exit", 0)))
if "print" in ask:
    sys.stdout.write(ask["print"])
    sys.exit(int(ask.get("exit", 0)))
said = ask.get("say", f"answer {calls}").replace("\\n", "\n")
failed = "fail" in ask or "status" in ask or "subtype" in ask
if name == "claude":
    told = {"type": "result", "subtype": ask.get("subtype", "success"), "is_error": failed,
            "result": ask.get("fail", said), "session_id": session, "num_turns": int(ask.get("turns", 1)),
            "total_cost_usd": float(ask.get("cost", 0.25)),
            "modelUsage": {"m": {"inputTokens": 10, "cacheReadInputTokens": 5, "outputTokens": 2}},
            "permission_denials": [{"tool_name": ask["denied"]}] if "denied" in ask else [],
            "stop_reason": ask.get("stop", "end_turn")}
    if "status" in ask:
        told["api_error_status"] = int(ask["status"])
    if "structured" in ask:
        told["structured_output"] = json.loads(ask["structured"])
    print(json.dumps(told))
elif name == "codex":
    print(json.dumps({"type": "thread.started", "thread_id": session}))
    if failed:
        error = {"message": ask.get("fail", "unexpected status " + ask.get("status", ""))}
        print(json.dumps({"type": "turn.failed", "error": error}))
    else:
        text = ask.get("structured", said)
        print(json.dumps({"type": "item.completed", "item": {"type": "agent_message", "text": text}}))
        turns = pathlib.Path(session + ".turns")
        with turns.open("a") as log:
            log.write("x")
        n = len(turns.read_text())
        if "cut" not in ask:
            print(json.dumps({"type": "turn.completed", "usage": {"input_tokens": 12 * n, "output_tokens": 5 * n}}))
else:
    told = {"session_id": session, "stats": {"models": {"g": {"api": {"totalRequests": 1},
            "tokens": {"prompt": 9, "candidates": 4}}}}}
    if failed:
        error = {"error": {"message": ask.get("fail", ""), "code": int(ask.get("status", 1))}}
        sys.stderr.write("Warning: something\n" + json.dumps({**told, **error}, indent=2))
    else:
        print(json.dumps({**told, "response": said}, indent=2))
end(int(ask.get("exit", 1 if failed else 0)))
"""


def install(workspace: Workspace, *names: str, markers: tuple[str, ...] = ("CLAUDE.md",)) -> Path:
    """The stand-ins of these names, found by `PURUTO_CRON_AGENT_PATH`, and a target for them; its folder."""
    folder = workspace.home.parent / "agents"
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(f"{PYTHON}{_PROGRAM}", encoding="utf-8")
        (folder / name).chmod(0o755)
    workspace.environ["PURUTO_CRON_AGENT_PATH"] = str(folder)
    target = workspace.add_target(AGENT, invoke=None)
    for marker in markers:
        (target / marker).write_text("# An agent\n", encoding="utf-8")
    return target


def calls(workspace: Workspace) -> list[dict[str, Any]]:
    """How the agents were called: `name`, `argv`, `prompt`, `env`."""
    path = workspace.home / AGENT / "calls.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def agent_job(prompt: str, **fields: object) -> dict[str, object]:
    """A job of the agent's target, due only when a test says so."""
    return {"puruto_target": AGENT, "schedule": "@yearly", "prompt": prompt, **fields}

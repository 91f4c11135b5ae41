"""Who may ask whom for what: the optional `.puruto-ipc.json`. Source: docs/contract.md "Invocation".

A file that can't be understood denies everything: it was written to forbid something.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core import strict_json
from core.invocation import MOST_HOPS, InvocationRequest
from core.invocation_errors import Denied

POLICY_FILE = ".puruto-ipc.json"
_LIMIT = 1024 * 1024
_LONGEST_TIMEOUT = 604_800
_KEYS = ("enabled", "owner", "max_hops", "default_timeout_sec", "allowed_targets", "allowed_actions")


@dataclass(frozen=True)
class Policy:
    """What is allowed. An empty `allowed_targets`, or no actions for a target, restricts nothing.

    `fault` says why the file can't be used; then everything is denied. `path` is the file's, for messages.
    """

    enabled: bool = True
    owner: str = ""
    max_hops: int = 2
    default_timeout_sec: int = 120
    allowed_targets: tuple[str, ...] = ()
    allowed_actions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    path: str = POLICY_FILE
    fault: str = ""

    def check(self, request: InvocationRequest) -> None:
        """Raises Denied, which names the rule and the file, unless the request is allowed."""
        rule, reason = self._objection(request)
        if not reason:
            return
        raise Denied(
            f"{reason} ({self.path})",
            hint=self._hint(),
            details={
                "rule": rule,
                "policy": self.path,
                "target": request.target,
                "action": request.action,
                "hop": request.hop,
            },
        )

    def _objection(self, request: InvocationRequest) -> tuple[str, str]:
        target, action = request.target, request.action
        if self.fault:
            return "policy", f"the policy file can't be used, so nothing is allowed: {self.fault}"
        if not self.enabled:
            return "enabled", "the policy says enabled false, so nothing is allowed"
        if request.hop > self.max_hops:
            return "max_hops", f"hop {request.hop} is beyond max_hops {self.max_hops}"
        if self.allowed_targets and target not in self.allowed_targets:
            return "allowed_targets", f"target {target} is not in allowed_targets"
        actions = self.allowed_actions.get(target, ())
        if actions and action not in actions:
            return "allowed_actions", f"action {strict_json.excerpt(action)} is not allowed for target {target}"
        return "", ""

    def _hint(self) -> str:
        who = f", or ask its owner, {self.owner}" if self.owner else ""
        return f"Change {self.path}{who}."


class PolicyFile:
    """The policy as the file has it now: read anew at each question, so that a daemon follows its changes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self, request: InvocationRequest) -> None:
        """Raises Denied unless the file allows the request."""
        self.read().check(request)

    def read(self) -> Policy:
        """The policy; defaults without a file; one that denies everything when the file is broken. Never raises."""
        try:
            found = strict_json.read_object(self._path, _LIMIT, unique_keys=True)
            return _policy(found, str(self._path))
        except FileNotFoundError:
            # A dangling symlink is a policy that got lost, not the absence of one.
            fault = "it is a link to nothing" if os.path.lexists(self._path) else ""
        except (OSError, ValueError) as error:
            fault = str(error.strerror if isinstance(error, OSError) else error)
        return Policy(path=str(self._path), fault=fault)


def _policy(found: Mapping[str, object], path: str) -> Policy:
    _refuse_misspelt(found)
    default = Policy()
    return Policy(
        enabled=_boolean(found, "enabled", default.enabled),
        owner=_text(found, "owner", default.owner),
        max_hops=_whole(found, "max_hops", default.max_hops, 0, MOST_HOPS),
        default_timeout_sec=_whole(found, "default_timeout_sec", default.default_timeout_sec, 1, _LONGEST_TIMEOUT),
        allowed_targets=_names(found.get("allowed_targets", []), "allowed_targets"),
        allowed_actions=_actions(found.get("allowed_actions", {})),
        path=path,
    )


def _refuse_misspelt(found: Mapping[str, object]) -> None:
    """New keys are tolerated, but `allowed_target` would silently allow everything."""
    unknown = [key for key in found if key not in _KEYS]
    if not unknown:
        return
    from difflib import get_close_matches

    for key in unknown:
        for meant in get_close_matches(key.lower(), _KEYS, n=1, cutoff=0.85):
            raise ValueError(f"unknown key {strict_json.excerpt(key)}; {meant} is meant?")


def _boolean(found: Mapping[str, object], key: str, default: bool) -> bool:
    value = found.get(key, default)
    if not isinstance(value, bool):
        raise ValueError(f"{key} must be true or false, is {strict_json.kind(value)}")
    return value


def _text(found: Mapping[str, object], key: str, default: str) -> str:
    value = found.get(key, default)
    if not isinstance(value, str):
        raise ValueError(f"{key} must be a string, is {strict_json.kind(value)}")
    return value


def _whole(found: Mapping[str, object], key: str, default: int, least: int, most: int) -> int:
    value = found.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{key} must be a whole number from {least} to {most}")
    return value


def _names(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{where} must be a list, is {strict_json.kind(value)}")
    for number, name in enumerate(value):
        if not isinstance(name, str) or not name:
            raise ValueError(f"{where}[{number}] must be a name, is {strict_json.kind(name)}")
    return tuple(value)


def _actions(value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise ValueError(f"allowed_actions must be an object, is {strict_json.kind(value)}")
    return {target: _names(actions, f"allowed_actions.{target}") for target, actions in value.items()}

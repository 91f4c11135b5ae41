"""Which requests are allowed: the optional file `.puruto-ipc.json`. Source: docs/contract.md "Invocation".

A file that can't be read denies everything, because somebody wrote it to forbid something.
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
    """The rules. An empty `allowed_targets`, or no actions for a target, is no restriction.

    `fault` says why the file can't be used; then everything is denied. `path` is its path, for messages.
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
        """Raises Denied, which names the rule and the file, if the request is not allowed."""
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
            return "enabled", "the policy sets enabled to false, so nothing is allowed"
        if request.hop > self.max_hops:
            return "max_hops", f"hop {request.hop} is above max_hops {self.max_hops}"
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
    """The policy in its file. It is read again for each request, so that a daemon sees changes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def check(self, request: InvocationRequest) -> None:
        """Raises Denied if the file does not allow the request."""
        self.read().check(request)

    def read(self) -> Policy:
        """The policy in the file; the defaults without a file; if it is broken, one that denies all. Never raises."""
        try:
            fields = strict_json.read_object(self._path, _LIMIT, unique_keys=True)
            return _policy(fields, str(self._path))
        except FileNotFoundError:
            # A dangling link means that the policy is lost, not that there is none.
            fault = "it is a link to a missing file" if os.path.lexists(self._path) else ""
        except (OSError, ValueError) as error:
            fault = str(error.strerror if isinstance(error, OSError) else error)
        return Policy(path=str(self._path), fault=fault)


def _policy(fields: Mapping[str, object], path: str) -> Policy:
    _refuse_misspelt(fields)
    default = Policy()
    return Policy(
        enabled=_boolean(fields, "enabled", default.enabled),
        owner=_text(fields, "owner", default.owner),
        max_hops=_whole(fields, "max_hops", default.max_hops, 0, MOST_HOPS),
        default_timeout_sec=_whole(fields, "default_timeout_sec", default.default_timeout_sec, 1, _LONGEST_TIMEOUT),
        allowed_targets=_names(fields.get("allowed_targets", []), "allowed_targets"),
        allowed_actions=_actions(fields.get("allowed_actions", {})),
        path=path,
    )


def _refuse_misspelt(fields: Mapping[str, object]) -> None:
    """Unknown keys are ignored, but a misspelt `allowed_target` would silently allow everything."""
    unknown = [key for key in fields if key not in _KEYS]
    if not unknown:
        return
    from difflib import get_close_matches

    for key in unknown:
        for meant in get_close_matches(key.lower(), _KEYS, n=1, cutoff=0.85):
            raise ValueError(f"unknown key {strict_json.excerpt(key)}; did you mean {meant}?")


def _boolean(fields: Mapping[str, object], key: str, default: bool) -> bool:
    value = fields.get(key, default)
    if not isinstance(value, bool):
        raise ValueError(f"{key} must be true or false, is {strict_json.kind(value)}")
    return value


def _text(fields: Mapping[str, object], key: str, default: str) -> str:
    value = fields.get(key, default)
    if not isinstance(value, str):
        raise ValueError(f"{key} must be a string, is {strict_json.kind(value)}")
    return value


def _whole(fields: Mapping[str, object], key: str, default: int, least: int, most: int) -> int:
    value = fields.get(key, default)
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

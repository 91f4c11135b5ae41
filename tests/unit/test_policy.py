from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.invocation_errors import Denied
from invocation.policy import Policy, _policy
from tests.support_invocation import request


def denied(policy: Policy, **changes: object) -> dict[str, object]:
    with pytest.raises(Denied) as caught:
        policy.check(request(**changes))
    assert caught.value.code == "DENIED"
    return caught.value.details


def test_defaults_allow_any_target_and_action_up_to_two_hops() -> None:
    for hop in (0, 1, 2):
        Policy().check(request(target="anything", action="whatever", hop=hop))
    assert denied(Policy(), hop=3)["rule"] == "max_hops"


def test_enabled_false_denies_everything() -> None:
    assert denied(Policy(enabled=False))["rule"] == "enabled"


def test_a_fault_in_the_file_denies_everything_and_is_told() -> None:
    with pytest.raises(Denied, match="max_hops must be") as caught:
        Policy(fault="max_hops must be a whole number", path="/p").check(request())
    assert "/p" in caught.value.message


def test_max_hops_is_the_last_allowed_hop() -> None:
    policy = Policy(max_hops=0)
    policy.check(request(hop=0))
    assert denied(policy, hop=1) == {
        "rule": "max_hops",
        "policy": ".puruto-ipc.json",
        "target": "puruto-x",
        "action": "run",
        "hop": 1,
    }


def test_only_listed_targets_are_allowed_when_any_is_listed() -> None:
    policy = Policy(allowed_targets=("puruto-x",))
    policy.check(request(target="puruto-x"))
    assert denied(policy, target="puruto-xy")["rule"] == "allowed_targets"


def test_only_listed_actions_are_allowed_for_targets_that_list_any() -> None:
    policy = Policy(allowed_actions={"puruto-x": ("read",), "puruto-y": ()})
    policy.check(request(target="puruto-x", action="read"))
    policy.check(request(target="puruto-y", action="write"))
    policy.check(request(target="puruto-z", action="write"))
    assert denied(policy, target="puruto-x", action="write")["rule"] == "allowed_actions"


def test_the_owner_is_named_as_the_one_to_ask() -> None:
    with pytest.raises(Denied) as caught:
        Policy(enabled=False, owner="Ana").check(request())
    assert "Ana" in caught.value.hint


def test_a_whole_file_is_understood_and_unknown_keys_are_tolerated() -> None:
    found: dict[str, Any] = {
        "enabled": True,
        "owner": "Ana",
        "max_hops": 5,
        "default_timeout_sec": 30,
        "allowed_targets": ["puruto-x"],
        "allowed_actions": {"puruto-x": ["read"]},
        "description": "of no matter to us",
    }
    assert _policy(found, "/p") == replace(
        Policy(),
        owner="Ana",
        max_hops=5,
        default_timeout_sec=30,
        allowed_targets=("puruto-x",),
        allowed_actions={"puruto-x": ("read",)},
        path="/p",
    )


@pytest.mark.parametrize(
    ("found", "place"),
    [
        ({"enabled": "false"}, "enabled"),
        ({"enabled": 0}, "enabled"),
        ({"enabled": None}, "enabled"),
        ({"owner": ["Ana"]}, "owner"),
        ({"max_hops": -1}, "max_hops"),
        ({"max_hops": 2.0}, "max_hops"),
        ({"max_hops": True}, "max_hops"),
        ({"max_hops": "2"}, "max_hops"),
        ({"max_hops": 10**9}, "max_hops"),
        ({"default_timeout_sec": 0}, "default_timeout_sec"),
        ({"allowed_targets": "puruto-x"}, "allowed_targets"),
        ({"allowed_targets": None}, "allowed_targets"),
        ({"allowed_targets": ["puruto-x", 7]}, r"allowed_targets\[1\]"),
        ({"allowed_targets": [""]}, r"allowed_targets\[0\]"),
        ({"allowed_actions": ["read"]}, "allowed_actions"),
        ({"allowed_actions": {"puruto-x": "read"}}, r"allowed_actions\.puruto-x"),
        ({"allowed_target": ["puruto-x"]}, "did you mean allowed_targets"),
        ({"Enabled": False}, "did you mean enabled"),
        ({"maxHops": 1}, "did you mean max_hops"),
    ],
)
def test_a_wrong_value_or_a_misspelt_key_is_named(found: dict[str, Any], place: str) -> None:
    with pytest.raises(ValueError, match=place):
        _policy(found, "/p")

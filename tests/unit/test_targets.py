from __future__ import annotations

from pathlib import Path

import pytest

from core.invocation_errors import TargetNotFound
from invocation.targets import Targets


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/etc", ".hidden", "-rf", "a b", "a\n", "a\0b", "ñandú", "x" * 129, "~", "a\\b"],
)
def test_a_name_with_path_parts_or_strange_characters_is_refused_without_looking(name: str) -> None:
    with pytest.raises(TargetNotFound) as caught:
        Targets(Path("/"), Path("/"), Path("/")).resolve(name)
    assert caught.value.code == "TARGET_NOT_FOUND"
    assert caught.value.details["looked_at"] == []
    assert "\0" not in str(caught.value.details["target"])

"""How much a test that searches may try: less where somebody waits for it, all of it in CI."""

from __future__ import annotations

import os

#: The share of examples. CI sets it to 1.
SHARE = float(os.environ.get("PURUTO_TEST_EFFORT", "0.3"))


def examples(whole: int) -> int:
    """The number of examples, of which a test has `whole` in CI."""
    return max(10, round(whole * SHARE))

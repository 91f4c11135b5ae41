"""How hard the fault tests try, and with which seed. Set by the environment of the tests; see docs/testing.md."""

from __future__ import annotations

import os
import random

#: Kills in all of tests/faults/test_random_kills.py; `make faults` and `make test-full` set 1000.
KILLS = int(os.environ.get("PURUTO_FAULTS_KILLS", "20"))
#: Draws what is killed, and when. A new one each time, unless it is given.
SEED = int(os.environ.get("PURUTO_FAULTS_SEED") or random.SystemRandom().randrange(1_000_000))
# Where pytest has workers, they take the seed that stands in the report's head.
os.environ["PURUTO_FAULTS_SEED"] = str(SEED)
#: Seconds of tests/faults/test_soak.py; `make soak` sets 600, `make test-full` 120.
SOAK_SEC = float(os.environ.get("PURUTO_SOAK_SECONDS", "10"))
HEADER = f"faults: PURUTO_FAULTS_SEED={SEED} PURUTO_FAULTS_KILLS={KILLS} PURUTO_SOAK_SECONDS={SOAK_SEC:g}"

"""The parts of `invoker.py`: how a target is found, allowed, started, watched, and judged.

It knows `core` and `system`, and no store: what it is to know comes in the `Invocation`. A new way to run a target is
one file in `runners/`.
"""

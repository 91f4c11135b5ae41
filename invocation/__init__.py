"""The parts of `invoker.py`: a target is found, allowed, started, watched, and its answer is judged.

It may import `core` and `system`, but no store: all that it needs is in the `Invocation`. A new way to run a target is
one new file in `runners/`.
"""

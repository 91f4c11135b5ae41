"""The parts of `invoker.py`: a target is found, allowed, started, watched, and judged.

It may import `core` and `system`, but no store: all that it needs is in the `Invocation`. A new way to run a target is
one new file in `runners/`; what children inherit is said in `child_environment.py`.
"""

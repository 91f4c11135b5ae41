"""The parts of `invoker.py`: targets, policy, runners, files of a run, success.

It knows `core` and `system`, and no store: all that it is to know comes in the `Invocation`. A new way to run a target
is one file in `runners/`; what children inherit is said in `child_environment.py`.
"""

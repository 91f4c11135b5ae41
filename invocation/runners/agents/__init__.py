"""Agents: a file a kind, on the base of `base.py`.

It may import `core` and `invocation.runners.base`. A new agent is one new file here, which declares its marker file,
its program, and the fields of a job that it does not support.
"""

"""Agents: a file a kind, on the base of `base.py`. Its fields, its marker file and its program are declared there.

It knows `core` and `invocation.runners.base`. A new agent is one new file here.
"""

"""Retention: deletes rows, run folders and event files that are too old or too many.

It knows `config`, `core` and `store`. A new retention rule is a method in `retention.py`, named in `_rules`.
"""

"""Retention: deletes what is too old or too much.

It may import `core` and `store`, and is handed the settings. A new rule of retention is a method in `retention.py`,
named in its `_rules`.
"""

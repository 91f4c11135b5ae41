"""Retention: deletes rows, run folders and event files that are too old or too many.

It knows `core` and `store`. A new retention rule goes into `retention.py`.
"""

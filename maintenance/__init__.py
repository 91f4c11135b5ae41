"""Retention: deletes what is too old or too much.

It may import `core` and `store`. A new rule of retention goes into `retention.py`, and when it is applied into
`pruning.py`.
"""

"""The scheduler as one process that stays: its loop, its background work, and its view of the program.

It knows everything below `app`; only `commands` imports it. What it repeats is the tick of `scheduler.py`.
"""

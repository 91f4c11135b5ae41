"""The scheduler as one process that stays: its loop, what goes on in the background, and its view of the program.

It knows everything below `app`, and nobody imports it but `commands`. What it repeats is the tick of `scheduler.py`.
"""

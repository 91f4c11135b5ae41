"""The daemon: the scheduler as one process that keeps running.

It may import `app` and everything below it; only `commands` imports it. What it repeats is the tick of `scheduler.py`.
New background work goes into `background.py`, a new question to the program into `program.py`.
"""

"""The parts of `scheduler.py`: what is due, claiming it, running it, and ending what dead schedulers left.

It knows `core`, `system`, `store` and `executor`. A rule about due slots is pure and goes into `planner.py`; how they
are dispatched goes into `dispatcher.py`.
"""

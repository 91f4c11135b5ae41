"""The parts of `scheduler.py`: what is due, claiming it, seeing the runs on, and what dead schedulers left.

It knows `core`, `system`, `store` and `executor`. A rule about due slots is pure and goes into `planner.py`; how they
are served goes into `dispatcher.py`.
"""

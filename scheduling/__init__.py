"""The parts of `scheduler.py`: planner, claims, dispatcher, reaper.

It may import `channels`, `core`, `execution`, `executor`, `schedules`, `store` and `system`. A new rule about due slots
is pure and goes into `planner.py`; how slots are claimed goes into `claiming.py`, how they are started into
`dispatcher.py`.
"""

"""Reports as data: the health of the scheduler, and the overview of jobs and runs that commands print or draw.

It knows `core`, `store`, `schedules` and `scheduling`, and prints nothing. A new figure goes here; how it is drawn goes
into `render`.
"""

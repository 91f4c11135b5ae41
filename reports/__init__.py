"""Reports as data: the health of the scheduler, the overview of jobs and runs.

It may import `core`, `schedules`, `scheduling` and `store`, and prints nothing. A new figure goes here; how it is drawn
goes into `render`.
"""

"""What is so, as data: the health of the scheduler, and the overview of jobs and runs that commands print or draw.

It knows `core` and `store`, and prints nothing. A new figure goes here; how it looks goes into `render`.
"""

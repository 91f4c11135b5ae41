"""The file of jobs: read, checked, edited, and synced into the database.

It may import `core`, `schedules`, `scheduling` and `store`, and is the only package that imports pydantic. A new
field of a job is declared in `core/job.py`; a rule that no bound can express goes into `checker.py`.
"""

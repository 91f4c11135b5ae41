"""The file of jobs: it is read, checked, edited, and synced to the database. The only package that imports pydantic.

It imports `core`, `schedules` and `store`. A new field of a job is declared in `core/job.py`; a rule that no bound
can express goes into `checker.py`.
"""

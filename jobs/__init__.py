"""The file of jobs: read, checked, edited, and synced into the database.

It may import `core`, `schedules`, `scheduling` and `store`, and is the only user of pydantic. A new field of a job
stands in `core/job.py`; a rule that no bound can express goes into `checker.py`.
"""

"""The file of jobs: reading, checking, editing, and bringing the database in step with it. The only user of pydantic.

It knows `core`, `schedules` and `store`. A new field of a job stands in `core/job.py`; a rule that no bound can express
goes into `checker.py`.
"""

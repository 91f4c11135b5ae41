"""All SQL of the program, one subject a file; `bundle.Store` holds them together. Only `db.py` also contains SQL.

It imports `core` and `db`. A new query goes into the file of its subject, a new table into a new migration in `sql/`.
Nothing is imported here, because the fast tick imports `store.idle_check`.
"""

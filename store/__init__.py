"""All SQL of the program, one subject a file.

It may import `core` and `db`. Only `store` and `db` contain SQL; `bundle.Store` holds the subjects together. A new
query goes into the file of its subject, a new table or column into a new migration in `sql/`. Nothing is imported here,
because the fast tick imports `store.idle_check`.
"""

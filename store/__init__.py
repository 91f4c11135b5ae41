"""What is said in SQL, a subject a file; `bundle.Store` holds them together. Beside `db.py` nobody else knows SQL.

It knows `core` and `db`. A new question to the database goes into the file of its subject, a new table into a new
migration in `sql/`. Nothing is imported here: the fast tick imports `store.look`.
"""

"""What is said in SQL, a subject a file.

It may import `core` and `db`; only `store` and `db` know SQL, and `bundle.Store` holds the subjects together. A new
question to the database goes into the file of its subject, a new table or column into a new migration in `sql/`.
Nothing is imported here, because the fast tick imports `store.idle_check`.
"""

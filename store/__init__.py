"""What is said in SQL, a subject a file; `bundle.Store` holds them together.

Empty, because the idle tick imports `store.look`.
"""

"""Reports as tables and pictures for people, in place of JSON.

It may import `core`, and reads the reports as plain JSON objects. It is the only package that imports rich, and is
imported only when something is drawn. A new view is one new file, a new table a function of `tables.py`.
"""

"""From the text of a schedule to instants. Pure: no clock, no database.

It may import `core`, and is the only package that imports croniter. Everybody asks `language.py`; a new form of
schedule or a new alias, like `@daily`, goes there.
"""

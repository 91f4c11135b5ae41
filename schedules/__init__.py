"""Turns the text of a schedule into instants. Pure: no clock, no database.

It may import `core`, and is the only package that imports croniter. Other packages call `language.py` or `calendar.py`.
A new form of schedule, or a new alias like `@daily`, goes into `language.py`.
"""

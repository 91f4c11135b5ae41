"""The settings: variables from the environment and from `.env`, checked, with their defaults.

It may import `core`. A new setting is one field in `variables.py`; the table in the docs and `.env.example` are made
from it.
"""

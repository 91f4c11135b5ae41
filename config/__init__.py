"""The settings: variables from the environment and from .env, checked, with their defaults.

It imports `core`. A new setting is one entry in `variables.py`; the table in the docs and `.env.example` are made from
it.
"""

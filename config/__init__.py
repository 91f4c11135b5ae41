"""The settings: variables of the environment and of `.env`, checked.

It may import `core`. A new setting is one field in `variables.py`; the table in the docs and `.env.example` follow from
it.
"""

"""Crontabs as text: reading them, finding our own lines in them, and making jobs of the others. No disk here."""

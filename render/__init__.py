"""What commands show to people instead of JSON: tables, pictures, a live view. The only package that imports rich.

It is imported only when something is drawn, and may import `core` alone; it reads the reports as plain JSON objects.
A new view is one new file.
"""

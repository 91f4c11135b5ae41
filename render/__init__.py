"""What commands show to people instead of JSON: tables, pictures, a live view. The only user of rich; loaded on use.

It knows `core` and the data of `reports`. A new view is one file.
"""

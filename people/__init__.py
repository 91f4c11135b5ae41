"""What commands show to people instead of JSON: tables, pictures, a live view. Imports rich; loaded on use."""

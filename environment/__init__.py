"""What `settings.py` is made of: the variables, how their values are read, and `.env`. Nothing else imports it."""

"""What `jobs.py` needs only while a jobs file is checked or documented. Nothing else imports it."""

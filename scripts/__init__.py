"""What a person calls, and options.py, which some of them share."""

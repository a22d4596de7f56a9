"""What a person calls; options.py is what they share."""

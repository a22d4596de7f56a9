"""What a person calls; options.py and console.py, which they share."""

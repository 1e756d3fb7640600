"""Ratings → preferences."""

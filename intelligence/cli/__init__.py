"""The commands of `python -m intelligence`: each takes parsed options, and returns JSON data with the same as text."""

"""Planned steps between the sampling of a picture and its file, each told and switchable."""

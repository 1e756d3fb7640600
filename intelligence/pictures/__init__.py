"""Pictures as files: what other programs read in them, what they wrote there, and writing them whole."""

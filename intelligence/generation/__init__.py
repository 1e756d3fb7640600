"""The pipeline: from a prompt to a rated image."""

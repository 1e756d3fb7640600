"""Intelligent Generation."""

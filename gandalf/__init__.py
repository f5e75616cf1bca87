"""Gandalf: a message router between DevOps tools, with its cluster member and connector library."""

__version__ = "1.0.0"

"""Measured operator calls: one table, and readers of the formats they come in."""

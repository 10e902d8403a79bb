"""The slow, obvious truth that the fast engine is held to: plain loops over iterations."""

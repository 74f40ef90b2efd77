"""Widgets of the dashboard: each owns its layout and its callbacks, none knows the engine."""

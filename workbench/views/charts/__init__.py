"""Figures of the notebooks: each takes plain numbers and returns a plotly figure for a light ground."""

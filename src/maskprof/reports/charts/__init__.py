"""Plots as shapes: specifications in, drawings out, then SVG or PNG. Knows nothing of results."""

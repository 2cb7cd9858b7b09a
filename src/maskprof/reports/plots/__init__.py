"""A result as plots: which figures are drawn, and the same figures as a table for each."""

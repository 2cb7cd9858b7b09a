"""Which blocks run: the value type, its notations, and the ways of choosing. Standard library only."""

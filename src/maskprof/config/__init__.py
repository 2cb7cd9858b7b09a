"""What a run is asked to do: typed, checked once, with every default in one place. Standard library only."""

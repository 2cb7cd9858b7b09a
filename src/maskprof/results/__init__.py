"""Everything that is stored of a run, and how. The shared vocabulary of both halves. Standard library only."""

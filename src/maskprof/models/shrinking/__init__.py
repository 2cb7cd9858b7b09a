"""From an architecture's published configuration to one of the same kind that is as small as it can be."""

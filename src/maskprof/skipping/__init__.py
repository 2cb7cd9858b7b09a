"""Making a model skip blocks, exactly and undoably. May import torch."""

"""Loading models, finding their blocks, making their inputs. May import torch."""

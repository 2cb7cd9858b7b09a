"""The parts of a run that `experiment.py` puts together: the model made ready, samples and traces taken, the result."""

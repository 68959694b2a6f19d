"""Health checks of data and model before training, and monitoring of training: diagnoses, suggestions, recovery."""

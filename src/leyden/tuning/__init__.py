"""Values that are searched for: learning rate, batch size, and Optuna studies."""

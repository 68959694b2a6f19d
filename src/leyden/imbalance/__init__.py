"""Class imbalance: the class prior that the loss sees, `imbalance=auto`, how often each class was seen in training."""

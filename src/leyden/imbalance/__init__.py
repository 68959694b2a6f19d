"""Class imbalance: the class prior in the loss, `imbalance=auto`, how often the samples of each class were drawn."""

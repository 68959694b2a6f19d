"""The training doctor: what goes wrong before, during and after training is found, explained and treated."""

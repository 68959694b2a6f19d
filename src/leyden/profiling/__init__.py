"""What a net costs: parameters, FLOPs, activation memory, latency, energy: counted or measured, none guessed."""

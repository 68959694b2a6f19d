"""Batch-wise transforms on the device, plain torch modules; what is fitted is fitted on train only."""

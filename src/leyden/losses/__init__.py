"""Per-sample loss functions in plain torch: logits (B, C), labels (B,) -> losses (B,)."""

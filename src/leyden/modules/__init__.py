"""LightningModules: the training loop of a task, written once, and what each modality adds."""

"""Run folders: names (fingerprints), locks, states, manifests, results; read without torch."""

"""Run folders: fingerprints, locks, states, manifests, results; readable without torch."""

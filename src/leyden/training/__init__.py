"""A run from configuration to result: build, fit, evaluate, record, resume, recover."""

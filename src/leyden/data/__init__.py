"""The one shared data layer, in the order in which data flows: sources, columns, split, sampling, loader."""

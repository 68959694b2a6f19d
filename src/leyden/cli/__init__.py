"""One file per command of `leyden`: each parses its arguments, calls one function of another package, prints."""

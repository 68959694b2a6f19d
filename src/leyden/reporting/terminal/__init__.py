"""Terminal output of commands: tables, details of a run, differences between runs, findings."""

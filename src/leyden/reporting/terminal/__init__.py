"""What commands print: tables, one run's page, a difference of runs, findings."""

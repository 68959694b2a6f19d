"""What every package may use: errors, console, files, threads, random state."""

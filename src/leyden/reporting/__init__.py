"""Reads run folders and prints them; imports no torch."""

"""The error atlas of a run (`leyden errors`): plain data, a table for the terminal, CSV, and an offline HTML page."""

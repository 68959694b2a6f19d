"""Sources: files, archives or generators -> a table of columns, labels known without decoding."""

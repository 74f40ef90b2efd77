"""Commands of the shell, one a file."""

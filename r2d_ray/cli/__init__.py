"""The command line: flags, console, exit codes."""

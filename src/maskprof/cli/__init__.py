"""The command line: parses, calls one stage, renders, maps errors to exit codes."""

"""The command line.

`parser` declares all commands and their options and imports nothing that takes time; `main` imports a command's module
only when it runs. The command `run-inference` is the function `run_inference`, and so on. The work itself is done in
the other packages: here are only options, messages and exit statuses.
"""

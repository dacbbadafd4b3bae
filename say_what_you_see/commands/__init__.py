"""The command line.

`parser` declares all commands and their options and imports nothing that takes time; `main` imports a command's module
only when it runs. The command `run-inference` is the function `run_inference`, and so on. What a command does is in the
packages below: here are options, messages and exit statuses only.
"""

"""What the exercises are checked with: cases, typical mistakes, hints. `utils.checks.check` is what notebooks call."""

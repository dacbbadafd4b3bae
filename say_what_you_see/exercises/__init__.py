"""What the exercises are checked with: cases, typical mistakes, hints. `utils.check.check` is what notebooks call."""

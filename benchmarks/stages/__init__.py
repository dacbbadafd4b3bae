"""What is measured: each module has `STAGES`, a tuple of one or more stages."""

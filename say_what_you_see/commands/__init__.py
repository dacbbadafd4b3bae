"""The commands of `say-what-you-see`."""

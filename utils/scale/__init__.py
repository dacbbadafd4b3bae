"""Training at scale, as im2txt does it: sharded records, two phases, several devices, evaluation beside it."""

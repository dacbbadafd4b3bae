"""From a step function to a sentence: greedy, sampling, beam search.

A sampler knows no model: it gets the step function that a model gives. What a caption is written with (layers, weights)
is in `models`.
"""

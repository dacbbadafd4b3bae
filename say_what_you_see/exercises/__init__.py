"""What the exercises are checked with: cases, typical mistakes and hints for each, and how results are compared.

`utils.check.check` is what notebooks call. The functions that learners write live in the packages below; an exercise
only names them. The lesson's notebook says which of its cells become exercises, and `tools.make_exercises` makes the
copies for learners.
"""

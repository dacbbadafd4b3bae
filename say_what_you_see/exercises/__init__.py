"""What the exercises are checked with: for each its cases, typical mistakes and hints, and how results are compared.

`utils.check.check` is what notebooks call. The functions that learners write live in the packages below; an exercise
only names them. Which cell of a lesson becomes an exercise is said in the lesson's notebook, and the copies for
learners are made by `tools.make_exercises`.
"""

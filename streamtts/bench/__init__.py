"""Checkpoints, algorithms and number formats -> first audio, speed, stages and memory, as table, JSON and figure.

Called by `streamtts bench`. Open `command` for the command line, `subjects` and `algorithms` for what is compared,
`measure` for how it is timed, `machine` for what it runs on, `table` and `plots` for the result, `random_checkpoint`
for full-size checkpoints with random weights, `listeners` for many listeners of one server.
"""

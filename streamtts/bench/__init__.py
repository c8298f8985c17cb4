"""Algorithms, checkpoints and number formats -> first audio, speed and stages, in a table and plots.

Called by `streamtts bench` and `docs/experiments.py`. Open `algorithms` for what is compared, `run` for how it is
timed, `table` and `plots` for the result, `random_checkpoint` for full-size weights that are random.
"""

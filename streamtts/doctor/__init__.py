"""An installation or a checkpoint -> what works, what does not, and what to do about it.

Called by `streamtts doctor`; `precision_error` also by `docs/experiments.py`. Open `examine` for packages, devices and
checkpoints, `model_trial` for one sentence spoken by a checkpoint, `precision_error` for what a number format changes.
"""

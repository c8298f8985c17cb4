"""An installation and a checkpoint -> what works, what does not, and what to do about it.

Called by `streamtts doctor`. Open `examine` for packages and devices, `model_trial` for speaking with a model and
judging it, `precision_error` for what a number format changes.
"""

"""A voice clip -> its conditionals for T3 and S3Gen, computed once and kept on disk.

Called by `streamtts.load`, which gives a `Voice` to T3 and S3Gen, and by `streamtts voices`.
Open `clips` for checking a clip and the voices folder, `conditionals` for what a voice consists of, `voice_list` for
the list of voices.
"""

"""A clip -> the conditionals of T3 and S3Gen, made once and kept on disk.

Called by `streamtts.load`, which hands a `Voice` to T3 and S3Gen, and by `streamtts voices`.
Open `clips` for reading and judging a clip, `conditionals` for what a voice holds, `voice_list` for the list of voices.
"""

"""A voice clip -> its conditionals for T3 and S3Gen, computed once and kept on disk.

Called by `streamtts.load`, which gives a `Voice` to T3 and S3Gen, and by `streamtts voices`. `judge_clip` says how good
a clip is. Open `recording` for reading audio files, `speech` for where somebody speaks, `judge` for what is wrong with
a clip and for the part that is used, `clips` for the conditionals of a clip, `folder` for the folder of clips,
`conditionals` for what a voice consists of, `voice_list` for the list of voices.
"""

from .judge import ClipReport, judge_clip

__all__ = ["ClipReport", "judge_clip"]

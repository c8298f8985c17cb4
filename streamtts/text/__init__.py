"""What a person or a language model writes -> pieces and pauses that T3 can speak.

Called by `streamtts.generator`, and by the server for text that still grows.
Open `split` for sentence ends, piece length and pause tags, `word_errors` for text compared with what was heard.
"""

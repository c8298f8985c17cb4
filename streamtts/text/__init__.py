"""Text as a person or a language model writes it -> pieces and pauses that T3 can speak.

Called by `streamtts.t3.token_source`, and by the server for text that is still growing.
Open `split` for sentence ends, the length of pieces, and pause tags; `word_errors` compares a text with what was heard.
"""

"""Text as a person or a language model writes it -> pieces and pauses that T3 can speak.

Called by `streamtts.t3.token_source`, and by the server for text that still grows. Open `script` for the whole way,
`markup`, `normalize`, `numbers`, `money` and `written` for what is said for what is written, `tags` for brackets,
`split` for sentence ends and the length of pieces; `command` is `streamtts text`; `word_errors` compares a text with
what is heard.
"""

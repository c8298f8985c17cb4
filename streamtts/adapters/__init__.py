"""Frameworks for voice agents -> a server of ours, as their voice: text as it is written, audio, words, interruption.

Called by users. Each file needs the extra of its name: `livekit` for LiveKit Agents, `pipecat` for Pipecat. They speak
the session protocol through `client`.
"""

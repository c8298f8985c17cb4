"""WebSocket connections -> speech, one chunk a message.

Called by `streamtts.serve`. Open `server` for start and stop, `http_routes` for pages and who is let in, `connection`
for one socket, `requests` and `sessions` for the two ways to ask, `speaking` for one answer, `scheduler` for whose turn
it is, `clients` for who is connected, `telemetry` for metrics and logs, `openai_api` and `ray_serve` for other doors.
"""

"""The address of any streaming text-to-speech server -> what a listener hears of it, measured and judged.

Called by `streamtts listen` and notebook 06. Open `dialects` for which dialect an address means, `openai_http`,
`sockets` and `wyoming_tcp` for the dialects, `received` for how an answer is taken down, `decode` for its samples and
what its headers say wrongly, `judge` for what is a fault, `run` for the order in which servers are asked, `report` for
table and JSON, `page` for the HTML report.
"""

from .dialects import Asked
from .page import arrivals, html_report
from .report import table
from .run import TEXTS, Server, listen

__all__ = ["TEXTS", "Asked", "Server", "arrivals", "html_report", "listen", "table"]

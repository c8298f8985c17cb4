"""The pinned ipykernel hands on widget messages while a cell is running; 7.4.0 lets them wait for its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

SETUP = """
import comm, time
channel = comm.create_comm(target_name="test", data={})
channel.on_msg(lambda message: channel.send({"heard": True}))
print(channel.comm_id)
"""


@pytest.fixture
def kernel() -> Iterator[BlockingKernelClient]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=120)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_a_widget_is_heard_while_a_cell_runs(kernel: BlockingKernelClient) -> None:
    def next_of(*kinds: str) -> dict[str, Any]:
        message = kernel.get_iopub_msg(timeout=60)
        return message if message["msg_type"] in kinds else next_of(*kinds)

    kernel.execute(SETUP)
    comm_id = next_of("stream")["content"]["text"].strip()
    kernel.control_channel.send(kernel.session.msg("create_subshell_request"))  # as JupyterLab does for widgets
    subshell = kernel.get_control_msg(timeout=60)["content"]["subshell_id"]
    kernel.execute("print('running')\ntime.sleep(3)\nprint('ended')")
    assert next_of("stream")["content"]["text"].strip() == "running"
    press = kernel.session.msg("comm_msg", {"comm_id": comm_id, "data": {}})
    press["header"]["subshell_id"] = subshell
    kernel.shell_channel.send(press)
    assert next_of("comm_msg", "stream")["msg_type"] == "comm_msg", "the message waited until the cell had ended"

"""One server for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamtts import serve
from streamtts.server import ServerHandle


@pytest.fixture(scope="module")
def server(model) -> Iterator[ServerHandle]:
    with serve(model, port=0) as handle:
        yield handle

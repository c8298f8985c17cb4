"""Which number formats a device has, which one is chosen and why, and how it is asked for and reported."""

import re

import pytest
import torch

from streamtts import StreamTTSError, serve
from streamtts.__main__ import main
from streamtts.checkpoint import precision
from streamtts.checkpoint.precision import choose
from streamtts.client.connection import Client


def test_health_and_the_stats_on_the_wire_name_the_format(tensor_cache, small):
    with serve(small, port=0, precision="int8") as server, Client(server.url) as client:
        assert server.health()["precision"] == "int8"
        speech = client.speak("Hello.", max_tokens=6)
        speech.collect()
        assert speech.stats.precision == "int8"


@pytest.mark.parametrize(
    ("asked", "device", "allowed"),
    [
        ("int3", "cpu", ["auto", "fp32", "int8", "int4", "bf16", "fp16"]),
        ("int8", "cuda", ["auto", "fp32", "bf16", "fp16"]),
        ("int8", "mps", ["auto", "fp32", "bf16", "fp16"]),
    ],
)
def test_a_format_that_the_device_lacks_is_refused_with_those_that_it_has(asked, device, allowed):
    with pytest.raises(StreamTTSError, match=f"precision is '{asked}'; on {device} it must be auto, fp32") as caught:
        choose(asked, device, small=False)
    assert (caught.value.code, caught.value.field, caught.value.allowed) == ("bad_value", "precision", allowed)


def test_the_choice_says_why():
    assert choose("int8", "cpu", small=True) == precision.Choice("int8", "asked for")
    assert choose("auto", "cpu", small=True).precision == "fp32"
    state = torch.get_rng_state()
    timed = choose("auto", "cpu", small=False)
    assert torch.equal(torch.get_rng_state(), state)  # loading a model changes nobody's seed
    gain = float(re.search(r"([\d.]+) times as fast in int8", timed.reason)[1])
    assert timed.precision == ("fp32" if gain < 1.3 else "int8")
    assert choose("auto", "mps", small=False).precision == "fp32"


def test_commands_take_a_precision(tensor_cache, small, tmp_path, capsys):
    out = tmp_path / "speech.wav"
    arguments = ["--model", str(small), "--precision", "int8", "--set", "max_tokens=12", "--out", str(out)]
    assert main(["say", "Hello.", *arguments]) == 0
    assert f"engine {small.name} in int8" in capsys.readouterr().out
    for command in (["serve", "--port", "0"], ["tune"], ["doctor", "--model", "mini"]):
        assert main([*command, "--precision", "int3"]) == 1
        assert "precision is 'int3'; on cpu it must be auto, fp32, int8" in capsys.readouterr().err

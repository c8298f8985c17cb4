"""Every setting says what it may hold, in one way."""

import dataclasses

import pytest

from streamtts import Settings, StreamTTSError


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tokens_per_chunk", 0),
        ("tokens_per_chunk", 2.5),
        ("tokens_per_chunk", "10"),
        ("tokens_per_chunk", True),
        ("chunk_growth", 0.5),
        ("chunk_growth", float("nan")),
        ("crossfade_ms", -1),
        ("crossfade_ms", 10**6),
        ("crossfade_shape", "square"),
        ("policy", ["window"]),
        ("policy", None),
        ("temperature", 0),
        ("top_p", 1.5),
        ("seed", -1),
        ("seed", 2**32),
        ("seed", 10**400),
        ("crossfade_ms", float("inf")),
        ("parallel", 1),
        ("no_such_setting", 1),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_name_and_what_is_allowed(field, value):
    with pytest.raises(StreamTTSError) as caught:
        Settings.from_mapping({field: value})
    assert caught.value.code == "bad_value"
    assert caught.value.field == field
    assert caught.value.allowed
    assert field in caught.value.message


def test_the_defaults_and_every_bound_are_allowed():
    for f in dataclasses.fields(Settings):
        if "low" in f.metadata:
            for bound in (f.metadata["low"], f.metadata["high"]):
                assert getattr(Settings(**{f.name: bound}), f.name) == bound
        for choice in f.metadata.get("choices", ()):
            assert getattr(Settings(**{f.name: choice}), f.name) == choice


def test_json_round_trip():
    settings = Settings(tokens_per_chunk=7, crossfade_ms=15, seed=9)
    assert Settings.from_mapping(settings.as_dict()) == settings


def test_every_field_says_what_it_is():
    assert all(f.metadata["help"] for f in dataclasses.fields(Settings))

"""The HTML report has every number, figures and audio players."""

from __future__ import annotations

from streamtts.tune.report import html_report


def test_the_report_holds_players_plots_and_every_number(trials, spoken) -> None:
    page = html_report(trials, trials[1], "it is <better>", spoken, engine="mini")
    assert page.count("<audio") == 3 and page.count("data:image/png") == 4 and "it is &lt;better&gt;" in page
    assert "http" not in page  # nothing is fetched
    for trial in trials:
        assert f"{trial.log_mel_db:.2f}" in page and f"{trial.audible} of {trial.seams}" in page

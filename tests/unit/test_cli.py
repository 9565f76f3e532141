from __future__ import annotations

import click
import pytest

from himalia.cli import commands, run_command


def test_each_command_is_described_in_a_whole_sentence_of_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run_command(["--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == sorted(commands.commands)
    assert [line for line in listed if not line.endswith(".") or line.endswith("...") or len(line) > 80] == []


@pytest.mark.parametrize("name", sorted(commands.commands))
def test_the_help_of_a_command_fits_a_terminal(name: str) -> None:
    command = commands.commands[name]
    with click.Context(command, info_name=name, terminal_width=80) as context:
        assert [line for line in command.get_help(context).splitlines() if len(line) > 80] == []

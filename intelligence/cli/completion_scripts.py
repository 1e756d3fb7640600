"""Scripts that complete commands and options in a shell."""

from __future__ import annotations

import argparse

SCRIPT_NAME = "intelligent-generation"
"""The program that `pip install` makes; shells complete programs, not modules of Python."""

_BASH = """\
_intelligent_generation() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" words
  case "${{COMP_WORDS[1]}}" in
{cases}
    *) words="{commands}" ;;
  esac
  [ "$COMP_CWORD" = 1 ] && words="{commands}"
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _intelligent_generation {name}"""


_ZSH = """\
(( $+functions[compdef] )) || {{ autoload -U +X compinit && compinit -u }}
autoload -U +X bashcompinit && bashcompinit
{script}"""
"""A zsh without any settings of its own has not begun to complete."""


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for `bash`, `zsh` or `fish`."""
    commands = _commands(parser)
    if shell == "fish":
        return "\n".join(_fish(commands))
    cases = "\n".join(f'    {name}) words="{" ".join(words)}" ;;' for name, words in commands.items())
    script = _BASH.format(cases=cases, commands=" ".join([*commands, "--version", "--help"]), name=SCRIPT_NAME)
    return script if shell == "bash" else _ZSH.format(script=script)


def _commands(parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    """Return command → its options and the values that it chooses from."""
    (added,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return {name: [word for action in one._actions for word in _words(action)] for name, one in added.choices.items()}


def _words(action: argparse.Action) -> list[str]:
    values = () if action.option_strings or not action.choices else action.choices
    return [*action.option_strings, *map(str, values)]


def _fish(commands: dict[str, list[str]]) -> list[str]:
    first = f"complete -c {SCRIPT_NAME} -n __fish_use_subcommand -f -a"
    lines = [f"{first} '{' '.join([*commands, '--version', '--help'])}'"]
    for name, words in commands.items():
        lines.append(f"complete -c {SCRIPT_NAME} -n '__fish_seen_subcommand_from {name}' -a '{' '.join(words)}'")
    return lines

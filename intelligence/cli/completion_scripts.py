"""Scripts that complete commands, options and their values in a shell."""

from __future__ import annotations

import argparse

SCRIPT_NAME = "intelligent-generation"
"""The program that `pip install` makes; shells complete programs, not modules of Python."""

_BASH = """\
_intelligent_generation() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" words=
  case "${{COMP_WORDS[1]}} ${{COMP_WORDS[COMP_CWORD-1]}} $word" in
{cases}
  esac
  [ "$COMP_CWORD" = 1 ] && words="{commands}"
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _intelligent_generation {name}"""
"""Names of files are the shell's own, where no word fits."""


_ZSH = """\
(( $+functions[compdef] )) || {{ autoload -U +X compinit && compinit -u }}
autoload -U +X bashcompinit && bashcompinit
{script}"""
"""A zsh without any settings of its own has not begun to complete."""


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for `bash`, `zsh` or `fish`."""
    (added,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    commands = added.choices
    first = " ".join([*commands, "--version", "--help"])
    if shell == "fish":
        lines = [f"complete -c {SCRIPT_NAME} -n __fish_use_subcommand -f -a '{first}'"]
        return "\n".join(lines + [line for name, one in commands.items() for line in _fish(name, one)])
    cases = "\n".join(case for name, one in commands.items() for case in _bash(name, one))
    script = _BASH.format(cases=cases, commands=first, name=SCRIPT_NAME)
    return script if shell == "bash" else _ZSH.format(script=script)


def _bash(name: str, command: argparse.ArgumentParser) -> list[str]:
    """Return the cases of a command: the command, the word before, the word itself → what may complete it."""
    options, operands = _options(command), _operands(command)
    cases = {
        f'"{name} {option} "*': _values(action)
        for action in options
        if action.choices
        for option in action.option_strings
    }
    cases[f'"{name} "*" -"*'] = " ".join(option for action in options for option in action.option_strings)
    if operands:
        cases[f'"{name} "*'] = operands
    return [f'    {case}) words="{words}" ;;' for case, words in cases.items()]


def _fish(name: str, command: argparse.ArgumentParser) -> list[str]:
    start = f"complete -c {SCRIPT_NAME} -n '__fish_seen_subcommand_from {name}'"
    lines = [f"{start} {_fish_option(action)}" for action in _options(command)]
    operands = _operands(command)
    no_files = " -f" if all(action.choices for action in command._actions if not action.option_strings) else ""
    return [*lines, f"{start}{no_files} -a '{operands}'"] if operands else lines


def _fish_option(action: argparse.Action) -> str:
    names = [f"-l {one[2:]}" if one.startswith("--") else f"-s {one[1:]}" for one in action.option_strings]
    takes = f" -x -a '{_values(action)}'" if action.choices else "" if action.nargs == 0 else " -r"
    return " ".join(names) + takes


def _options(command: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in command._actions if action.option_strings]


def _operands(command: argparse.ArgumentParser) -> str:
    return " ".join(_values(action) for action in command._actions if action.choices and not action.option_strings)


def _values(action: argparse.Action) -> str:
    return " ".join(map(str, action.choices or ()))

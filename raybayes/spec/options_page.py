"""The table of all options in docs/options.md, made from their declaration.

python -m raybayes.spec.options_page > docs/options.md
"""

from __future__ import annotations

from raybayes.spec.options import OPTIONS, Option

_HEAD = """# Options

<!-- Made by `python -m raybayes.spec.options_page > docs/options.md`; edit raybayes/spec/options.py instead. -->

Every option has one name at every door: the keyword of the Python call, the key in a spec file
(`raybayes sweep --spec FILE`) and in `sweep.yaml`, and the flag on the command line, where `_` is `-`: `time_budget` is
`--time-budget`. What `resume` takes may change from burst to burst; the rest is part of what a sweep is. At `resume`,
`extend` and `confirm`, an option that is not given stays as it is. Durations are seconds, or texts such as `90s`,
`30m`, `2h` and `1h30m`. Folders may be `pathlib.Path` objects.
"""


def options_page() -> str:
    """The page in Markdown."""
    rows = [
        f"| `{option.name}` | {_flag(option)} | {_default(option)} | {' '.join(option.doors)} | {option.help} |"
        for option in OPTIONS.values()
    ]
    head = "| option | flag | default | doors | what it does |"
    return "\n".join([_HEAD, head, "|---|---|---|---|---|", *rows]) + "\n"


def _flag(option: Option) -> str:
    return " ".join(f"`{flag}`" for flag in option.spelled)


def _default(option: Option) -> str:
    elsewhere = "".join(f" ({door}: {value})" for door, value in option.defaults.items())
    return f"{option.default_text}{elsewhere}" or "none"


if __name__ == "__main__":
    print(options_page(), end="")

"""Each folder of benchmarks/ is a command with the same first options."""

import importlib
import pkgutil

import pytest

import benchmarks

NAMES = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.ispkg)


@pytest.mark.parametrize("name", NAMES)
def test_each_benchmark_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{name}.__main__").main(["--help"])
    assert ended.value.code == 0
    assert "--quick" in capsys.readouterr().out

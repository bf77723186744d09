from pathlib import Path

import pytest
import yaml

from raybayes._version import __version__
from raybayes.errors import StoreError
from raybayes.store.documents import read_spec, write_spec

GOLDEN = Path(__file__).parent / "golden"
DOCUMENT = {
    "kind": "sweep",
    "project": "ensembles",
    "space": "SPACE",
    "config": {"dataset": "mnist", "lr": 1e-05, "batch": 128, "cost": None, "hidden": [64, 32]},
    "trials": 64,
    "sampler": {"name": "tpe", "options": {}},
    "scheduler": {"name": "asha", "options": {"eta": 4}},
    "objective": ["accuracy"],
    "constraints": {"seconds": "<= 60"},
    "time_budget": 7200.0,
    "storage": "runs",
    "name": "ensembles-größer",
    "seed": 0,
}


def test_what_is_written_comes_back(anywhere):
    write_spec(anywhere, DOCUMENT)
    assert read_spec(anywhere) == DOCUMENT
    assert list(read_spec(anywhere)) == list(DOCUMENT)
    write_spec(anywhere, {**DOCUMENT, "trials": 128})
    assert read_spec(anywhere)["trials"] == 128


def test_the_file_is_written_as_ever(layout):
    write_spec(layout, DOCUMENT)
    assert layout.storage.read_bytes(layout.spec).decode() == (GOLDEN / "sweep-schema-2.yaml").read_text("utf-8")


@pytest.mark.parametrize("schema", [1, 2])
def test_the_file_of_every_schema_is_read_for_ever(layout, schema):
    layout.storage.write_bytes(layout.spec, (GOLDEN / f"sweep-schema-{schema}.yaml").read_bytes())
    assert read_spec(layout) == DOCUMENT


def test_tuples_become_lists_and_the_schema_is_ours(layout):
    write_spec(layout, {"objective": ("loss", "kl"), "schema": 99})
    assert read_spec(layout) == {"objective": ["loss", "kl"]}
    assert yaml.safe_load(layout.storage.read_bytes(layout.spec))["schema"] == 2


def test_a_value_that_is_not_plain_is_refused(layout):
    with pytest.raises(StoreError, match=r"PosixPath\('x'\) is not a plain value"):
        write_spec(layout, {"data": Path("x")})
    assert not layout.storage.exists(layout.spec)


def test_a_folder_that_is_no_sweep(layout):
    with pytest.raises(StoreError, match=r"runs/sweep: not a sweep: the folder does not exist; give the"):
        read_spec(layout)
    layout.storage.write_bytes("other", b"")
    with pytest.raises(StoreError, match=r"runs/sweep: not a sweep: the folder has no sweep\.yaml"):
        read_spec(layout)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema: 3\n", rf"sweep\.yaml: found schema 3, .* is raybayes {__version__}, which reads schema 2: install"),
        ("schema: one\n", r"sweep\.yaml: schema is 'one', raybayes .* reads 1 to 2; restore"),
        ("schema: 0\n", r"sweep\.yaml: schema is 0, raybayes"),
        ("schema: 1\ntrials: [1, 2\n", r"sweep\.yaml:3:1: not valid YAML: expected ',' or '\]'"),
        ("\xff".encode("latin-1"), r"sweep\.yaml: not valid YAML: "),
        ("just words\n", r"sweep\.yaml: not the file of a sweep: found str, .*'schema: 2'; restore"),
        ("a: 1\nb: 2\n", r"sweep\.yaml: not the file of a sweep: found the keys a, b, "),
        ("", r"not the file of a sweep: found NoneType"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(layout, text, message):
    layout.storage.write_bytes(layout.spec, text if isinstance(text, bytes) else text.encode())
    with pytest.raises(StoreError, match=message):
        read_spec(layout)

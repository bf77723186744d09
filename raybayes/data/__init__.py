"""Data sets by name: where they are, what is declared of them, their tables and tensors.

load(name, data_dir)      the tables, by split         origin(name, data_dir)   where they are
fingerprint(tables)       a hash of their content       describe(name)           columns, rows, licence, source
listing(data_dir)         every data set               check(name, data_dir)    compare with what is declared
fetch(name, data_dir)     download it                  images.images(...)       tensors (imports torch)
"""

from raybayes.data.checking import Check, CheckedFile, Listed, check, listing
from raybayes.data.digest import fingerprint
from raybayes.data.downloads.fetching import fetch
from raybayes.data.files.sachs import edges
from raybayes.data.loading import is_path, load, origin
from raybayes.data.places import Origin
from raybayes.data.records import Column, DataSet, File, Pixels
from raybayes.data.registry.catalogue import describe, names

__all__ = [
    "Check",
    "CheckedFile",
    "Column",
    "DataSet",
    "File",
    "Listed",
    "Origin",
    "Pixels",
    "check",
    "describe",
    "edges",
    "fetch",
    "fingerprint",
    "is_path",
    "listing",
    "load",
    "names",
    "origin",
]

"""Where data lie, how a Parquet file becomes tables and tensors, and the embedded samples.

load(name, data_dir)      the tables, by split         origin(name, data_dir)   where they come from
fingerprint(tables)       one number for their content describe(name)           columns, rows, licence, source
listing(data_dir)         every data set               check(name, data_dir)    is it what it should be?
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

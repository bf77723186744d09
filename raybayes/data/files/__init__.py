"""How the files of data sets become tables whose columns are as declared: Parquet, IDX, pickles, folders, CSV."""

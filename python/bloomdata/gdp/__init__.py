"""The work of generative_data_prep with its own flags, file names and rows, by the same core as `bloomdata.pack`.

- `pipeline`: shuffle, split, pack, balance, write; `data_prep`: one file into one HDF5 file.
- `opening`: the output folder: new, to be gone on with, or finished.
- `options`: options in the words of `bloomdata.pack`; which files a path stands for.
- `splits`: how many files, and what they are called.
- `balance`: equal numbers of rows in all files of a split.
- `write`: rows become HDF5 files.
- `books`: ledger, metrics and manifest, put together from those of the parts.
- `folder`: `metadata.yaml`, checksums, the tokenizer beside the data.
- `training`: split counts from the devices that will train.
"""

from __future__ import annotations

from bloomdata.gdp.pipeline import data_prep, pipeline
from bloomdata.gdp.training import run_with_training_args

__all__ = ["data_prep", "pipeline", "run_with_training_args"]

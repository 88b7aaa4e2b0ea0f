"""The pipeline of generative_data_prep with its flags, file names and rows, on the same core as `bloomdata.pack`.

- `pipeline`: shuffle, split, pack, balance, write; `data_prep`: one file into one HDF5 file.
- `opening`: opens the output folder: new, to resume, or finished.
- `options`: converts options to those of `bloomdata.pack`; finds input files.
- `splits`: number and names of files.
- `balance`: equal numbers of rows in all files of a split.
- `write`: writes rows to HDF5 files.
- `books`: merges ledgers, metrics and manifests of the parts.
- `folder`: `metadata.yaml`, checksums, the tokenizer beside the data.
- `places`: bad lines by their places in the files of the user.
- `training`: numbers of splits for the training devices.
"""

from __future__ import annotations

from bloomdata.gdp.pipeline import data_prep, pipeline
from bloomdata.gdp.training import run_with_training_args

__all__ = ["data_prep", "pipeline", "run_with_training_args"]

"""One module per verb, each one function: `shard`, `pack`, `merge`, `verify`; what they share is in `run`."""

"""Object storage: inputs and outputs at addresses such as `s3://bucket/folder`, by `fsspec`.

- `addresses`: what an address is, and its file system.
- `listing`: the objects that addresses stand for, as the core takes them.
- `reading`: objects as inputs of a verb. `staging`: brings what is read to local files, ahead of who reads it.
- `uploading`: brings a finished folder to the store, its manifest last.

Credentials are found by `fsspec` and its file systems, as their documentation says; they are in no file, error or
manifest of ours.
"""

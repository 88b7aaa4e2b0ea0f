"""How `bloomdata.fetch` gets files from elsewhere into a folder, whole or not at all.

- `names`: sources -> addresses and the names of their files; named sets are in `bloomdata.fetching.sets`.
- `checksums`: lists as `sha256sum` and `md5sum` write them -> what each file must have.
- `wanted`: which checksum each file must have.
- `opening`: an address -> a stream from an offset on; local files and everything that fsspec reads.
- `http`: the same for http and https, with nothing but the standard library.
- `download`: a stream -> `<name>.part`, gone on with after a kill, checked, synced, renamed.
- `unpack`: `.gz` files without their compression.
- `books`: `fetched.json`, and the lock of the folder.
- `connections`: several files at a time; retries.
- `report`: what `fetch` returns.
"""

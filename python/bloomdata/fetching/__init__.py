"""How `bloomdata.fetch` downloads files into a folder, atomically.

- `names`: sources -> URLs and file names; named sets are in `sets`.
- `checksums`: reads lists of `sha256sum` and `md5sum`, and computes checksums.
- `wanted`: the expected checksum of each file.
- `opening`: a URL -> a stream from an offset; local files and everything that fsspec reads.
- `http`: the same for http and https, with the standard library only.
- `folders`: files of folders in a store.
- `git`: files of git repositories, by the program git.
- `remote`: an open remote file, and its errors.
- `download`: a stream -> `<name>.part`, resumed after a kill, verified, synced, renamed.
- `unpack`: decompresses `.gz` files.
- `books`: `fetched.json`, and the lock of the folder.
- `connections`: several files at a time; retries.
- `report`: the result of `fetch`.
"""

//! Files that training reads.
//!
//! - [`megatron`]: `.bin` and `.idx`, byte for byte as Megatron-core writes them.
//! - [`token_pair`]: such a pair, or one of the older TNTIDX layout, read by mapping or by `pread`.
//! - [`npy`]: headers of NumPy array files.
//! - [`hdf5_rows`]: rows of `sequence_length` tokens in HDF5 files that can be mapped without libhdf5.
//! - [`jsonl_shards`]: `.jsonl.zst` shards of independent frames.

pub mod hdf5_rows;
pub mod jsonl_shards;
pub mod megatron;
pub mod npy;
pub mod token_pair;

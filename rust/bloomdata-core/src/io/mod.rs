//! Bytes in and out: compression by suffix, counted and hashed reading, atomic writing.
//!
//! - [`compression`]: which compression a name means, and what the first bytes say.
//! - [`input`]: a file read from front to back, counted and hashed as stored.
//! - [`members`]: compressed members one behind the other: gzip, bzip2, xz, lz4.
//! - [`zstd_frames`]: independent zstd frames, read in parallel; [`seek_table`]: their sizes, at the end of a file.
//! - [`atomic`]: outputs that exist whole or not at all.
//! - [`map`]: files as read-only memory.

pub mod atomic;
pub mod compression;
pub mod input;
pub mod map;
pub mod members;
pub mod seek_table;
pub mod zstd_frames;

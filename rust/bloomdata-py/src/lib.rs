//! The extension module `bloomdata._core`: convert, call, wrap. No algorithms.
//!
//! - [`allocator`]: unused memory goes back to the system.
//! - [`samples`]: orders, blends and rows as objects.
//! - [`enter`]: the one door from Python into the core: GIL released, Ctrl-C noticed, errors converted.
//! - [`errors`]: the core's errors as the classes of `bloomdata.errors`.
//! - [`buffers`]: arrays that the core fills.
//! - [`gpt`]: samples of token pairs, and their orders.
//! - [`hdf5`]: h5py, as the core needs it.
//! - [`verbs`]: one function per verb; [`dedup`]: one with what it is made of; [`decontaminate`].
//! - [`tally`]: parts of runs that count.
//! - [`records`]: what a source makes of records.
//! - [`streams`], [`texts`]: Arrow data, without copies.
//! - [`templates`]: chat templates as objects.
//! - [`tokenizer`]: tokenizers as objects; [`encoded_files`]: files as batches of [`ids`].

#![allow(clippy::needless_pass_by_value, reason = "PyO3 hands over owned arguments")]

/// Blocks of megabytes are made by one thread and freed by another, thousands of times a second.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod allocator;
mod buffers;
mod decontaminate;
mod dedup;
mod encoded_files;
mod enter;
mod errors;
mod gpt;
mod hdf5;
mod ids;
mod inputs;
mod records;
mod samples;
mod store;
mod streams;
mod tally;
mod templates;
mod texts;
mod tokenizer;
mod verbs;

/// Rust core of bloomdata.
#[pyo3::pymodule]
mod _core {
    use pyo3::exceptions::PyImportError;
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::decontaminate::decontaminate;
    #[pymodule_export]
    use crate::dedup::{dedup, dedup_part, dedup_sets, exact_key, near_chances, near_signature, signatures};
    #[pymodule_export]
    use crate::encoded_files::EncodedFiles;
    #[pymodule_export]
    use crate::gpt::{
        GptDataset, legacy_intervals, legacy_shuffle, megatron_blend, megatron_blend_exhaustively,
        split_matrix, split_ranges,
    };
    #[pymodule_export]
    use crate::records::{is_text_source, read_records};
    #[pymodule_export]
    use crate::samples::{KeyedOrder, Mixture, PackedRows, RowRules};
    #[pymodule_export]
    use crate::tally::{count_part, count_words, read_counts, train_on_parts};
    #[pymodule_export]
    use crate::templates::{ChatTemplate, builtin_template, encode_ends};
    #[pymodule_export]
    use crate::tokenizer::Tokenizer;
    #[pymodule_export]
    use crate::verbs::{
        compressions, discard_parts, ends_with_newline, find_lines, finish, finish_folder, hash_file,
        lengths, list_files, merge, pack, plan, read_lines, read_manifest, shard, train_tokenizer, verify,
    };

    /// `release` or `debug`: benchmarks refuse a debug build.
    #[pymodule_export]
    const BUILD_PROFILE: &str = if cfg!(debug_assertions) { "debug" } else { "release" };

    /// Version of the core.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    /// Refuses all interpreters of a process but the first: objects of the core hold state that they would share.
    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        #[allow(unsafe_code, reason = "PyO3 has no name for it")]
        // SAFETY: an interpreter is running this.
        let id = unsafe { pyo3::ffi::PyInterpreterState_GetID(pyo3::ffi::PyInterpreterState_Get()) };
        if id == 0 {
            return Ok(());
        }
        Err(PyImportError::new_err("bloomdata works in the main interpreter only, not in sub-interpreters"))
    }
}

//! Names of files that are about data and are none: licences, checksums, descriptions that tools write.
//!
//! Each name has a tool or a custom behind it, and a suffix that is not its own frees it: `license.jsonl` is data.
//! Letter case does not count. A file that the user names itself is data whatever its name.

use std::path::Path;

use crate::io::compression::Compression;

/// Without a suffix, or as `.txt` and `.md`: what people and archives put beside data.
const DOCUMENTS: [&str; 27] = [
    "authors",
    "changelog",
    "changes",
    "citation",
    "contributors",
    "copying",
    "copyright",
    "datacard",
    "datasheet",
    "data_card",
    "dataset_card",
    "disclaimer",
    "filelist",
    "file_list",
    "files",
    "index",
    "licenses",
    "licences",
    "manifest",
    "model_card",
    "notice",
    "notices",
    "requirements",
    "terms",
    "urls",
    "version",
    "_success",
];
/// How such names may also begin, before a dot, a dash, an underscore or a blank: `LICENSE-CC-BY.txt`.
const BEGINNINGS: [&str; 3] = ["readme", "license", "licence"];
/// Lists of checksums: the whole name, or its first or last part.
const CHECKSUMS: [&str; 14] = [
    "b2sum",
    "b2sums",
    "b3sum",
    "b3sums",
    "checksum",
    "checksums",
    "md5",
    "md5sum",
    "md5sums",
    "sha1",
    "sha1sum",
    "sha1sums",
    "shasum",
    "shasums",
];
/// With a number: `sha256`, `sha256sums`.
const SHA: [&str; 3] = ["", "sum", "sums"];
/// As `.json`. `datasets`: `dataset_info`, `dataset_infos`, `dataset_dict`, `state`; ML Commons: `croissant`;
/// `transformers`: `config`, `tokenizer`, ...; Frictionless Data: `datapackage`; others by custom.
const DESCRIPTIONS: [&str; 31] = [
    "adapter_config",
    "added_tokens",
    "checksums",
    "citation",
    "config",
    "croissant",
    "data_card",
    "datapackage",
    "dataset_card",
    "dataset_dict",
    "dataset_info",
    "dataset_infos",
    "dataset_infos_dict",
    "generation_config",
    "index",
    "info",
    "license",
    "manifest",
    "metadata",
    "model_index",
    "package",
    "preprocessor_config",
    "readme",
    "schema",
    "special_tokens_map",
    "state",
    "statistics",
    "stats",
    "tokenizer",
    "tokenizer_config",
    "version",
];
/// How names of descriptions may end: `train.metadata.json`, `wiki_stats.json`.
const ENDINGS: [&str; 5] = ["metadata", "index", "schema", "stats", "statistics"];
/// Suffixes of what lies beside a file: checksums, signatures, indices.
const BESIDE: [&str; 14] = [
    "asc", "cff", "crc", "idx", "index", "md", "md5", "rst", "sfv", "sha1", "sha256", "sha512", "sig",
    "torrent",
];

/// Whether a file is metadata by its name.
pub(super) fn is_metadata(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let (_, name) = Compression::from_name(&name);
    let (stem, suffix) = name.rsplit_once('.').unwrap_or((name, ""));
    let parts: Vec<&str> = stem.split(['.', '-', '_', ' ']).collect();
    let (first, last) = (parts.first().copied().unwrap_or(stem), parts.last().copied().unwrap_or(stem));
    match suffix {
        "" | "txt" => {
            DOCUMENTS.contains(&stem)
                || BEGINNINGS.contains(&first)
                || is_checksums(stem)
                || is_checksums(first)
                || is_checksums(last)
        }
        "json" => DESCRIPTIONS.contains(&stem) || (parts.len() > 1 && ENDINGS.contains(&last)),
        // The cache of `map` and `filter`, which `datasets` keeps in the folder of the dataset.
        "arrow" => stem.starts_with("cache-"),
        _ => BESIDE.contains(&suffix),
    }
}

fn is_checksums(word: &str) -> bool {
    let digits =
        word.strip_prefix("sha").map(|rest| rest.trim_start_matches(|letter: char| letter.is_ascii_digit()));
    CHECKSUMS.contains(&word)
        || digits.is_some_and(|rest| word.len() > "sha".len() + rest.len() && SHA.contains(&rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_metadata_are_known_in_any_case_and_with_any_compression() {
        for name in [
            "LICENSE",
            "license.txt",
            "LICENSE-CC-BY.txt",
            "Licence_2.txt.gz",
            "README",
            "readme.md",
            "README.en.txt",
            "NOTICE",
            "notice.txt",
            "checksums.txt",
            "SHA256SUMS",
            "sha512sums.txt",
            "sha256.txt",
            "md5.txt",
            "corpus-md5.txt",
            "train.jsonl.sha256",
            "train.jsonl.idx",
            "MANIFEST",
            "manifest.txt",
            "dataset_info.json",
            "dataset_infos.json",
            "state.json",
            "dataset_dict.json",
            "croissant.json",
            "metadata.json.gz",
            "train.metadata.json",
            "web_stats.json",
            "tokenizer_config.json",
            "_SUCCESS",
            "cache-0f3a.arrow",
        ] {
            assert!(is_metadata(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn names_of_data_are_none() {
        for name in [
            "train.jsonl",
            "license.jsonl",
            "readme.parquet",
            "part-0.txt",
            "notice_board.txt",
            "licensed.txt",
            "shakespeare.txt",
            "sha.txt",
            "shadow.txt",
            "md5crack.txt",
            "state.jsonl",
            "states.json",
            "metadata.jsonl",
            "data.json",
            "data-00000-of-00001.arrow",
            "a",
            "metadata.txt",
            "reader.txt",
            "stats_2020.json",
        ] {
            assert!(!is_metadata(Path::new(name)), "{name}");
        }
    }
}

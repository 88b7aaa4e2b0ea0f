//! Files that are taken for a `tokenizer.json`, and the way from each to one.

use std::path::Path;

const CONVERT: &str = "bloomdata-cli convert-sentencepiece makes a tokenizer.json of it";
const SAVE: &str =
    "AutoTokenizer.from_pretrained(...).save_pretrained(...) of transformers writes a tokenizer.json";

/// What stands where a `tokenizer.json` was looked for, and the way to one.
pub(super) fn beside(file: &Path) -> Option<String> {
    let folder = file.parent()?;
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    names.sort();
    if let Some(model) =
        names.iter().find(|name| Path::new(name).extension().is_some_and(|suffix| suffix == "model"))
    {
        return Some(format!("{model} beside it is a SentencePiece model: {CONVERT}"));
    }
    let holds = |name: &str| names.iter().any(|other| other == name);
    let is_split = holds("vocab.json") && holds("merges.txt") || holds("vocab.txt");
    is_split.then(|| format!("there is a vocabulary in the older form of transformers: {SAVE}"))
}

/// What content is, if it cannot be that of a `tokenizer.json`, and the way to one.
pub(super) fn found_in(content: &[u8]) -> Option<String> {
    let text = content.trim_ascii_start();
    let told = match text {
        [] => "an empty file".to_owned(),
        [b'{', ..] => return None,
        [0xef, 0xbb, 0xbf, ..] => "a byte order mark in front: save it as UTF-8 without one".to_owned(),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16 text: save it as UTF-8".to_owned(),
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [b'P', b'K', 3, 4, ..] => {
            "compressed data: unpack it".to_owned()
        }
        [b'v', b'e', b'r', b's', ..] if text.starts_with(b"version https://git-lfs") => {
            "a pointer of Git LFS: git lfs pull fetches the file".to_owned()
        }
        // A field of pieces comes first in the message of the model.
        _ if content.starts_with(b"\n") && !text.is_ascii() || content.starts_with(b"\n\x0e\n\x05<unk>") => {
            format!("a SentencePiece model: {CONVERT}")
        }
        _ if is_tiktoken(text) => format!("ranks of tiktoken: {SAVE}"),
        _ => return None,
    };
    Some(told)
}

/// Whether the first line is a piece in base 64, and its rank.
fn is_tiktoken(text: &[u8]) -> bool {
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    let is_base64 = |word: &[u8]| {
        word.len().is_multiple_of(4)
            && word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte))
    };
    let is_number = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    words.next().is_some_and(|word| !word.is_empty() && is_base64(word))
        && words.next().is_some_and(is_number)
        && words.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_named_with_the_way_to_a_tokenizer() {
        for (content, told) in [
            (&b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02\n\xff"[..], "SentencePiece"),
            (b"\xff\xfe{\0", "UTF-16"),
            (b"\xef\xbb\xbf{}", "byte order mark"),
            (b"", "empty"),
            (b"IQ== 0\nIg== 1\n", "tiktoken"),
            (b"\x1f\x8b\x08", "unpack"),
        ] {
            assert!(found_in(content).is_some_and(|found| found.contains(told)), "{told}");
        }
        assert!(found_in(b" {\"model\":{}}").is_none() && found_in(b"[1]").is_none());
    }
}

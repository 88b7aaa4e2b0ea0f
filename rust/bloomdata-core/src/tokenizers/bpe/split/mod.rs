//! Splits text into pre-tokens by the patterns of the common families, without a regex engine.
//!
//! Text is processed in blocks of 64 bytes. For each block, bit masks tell which bytes belong to which
//! class (letter, white space, …). The starts of pre-tokens follow from these masks by a few bitwise
//! operations on 64 bytes at once.
//!
//! - [`blocks`]: the masks of a block.
//! - [`bloom`]: the rule of BLOOM.
//! - [`cl100k`]: the rule of cl100k, Llama-3 and Qwen2.
//! - [`gpt2`]: the rule of GPT-2.

mod blocks;
mod bloom;
mod cl100k;
mod gpt2;

use blocks::{Block, Blocks};

/// BLOOM's pattern. The crate's regex engine reads the inner `[` as a nested set: parentheses and bar are
/// members of the set, brackets are not.
const BLOOM: &str = " ?[^(\\s|[.,!?…。，、।۔،])]+";
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The splitter of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Splitter {
    /// BLOOM: runs between a few punctuation marks.
    Bloom,
    /// GPT-2, and `ByteLevel` by itself.
    Gpt2,
    /// Llama-3 and cl100k (up to three digits per pre-token), Qwen2 (one).
    Cl100k {
        /// Maximum number of digits in a pre-token.
        digits: usize,
    },
}

/// Finds the starts of pre-tokens, block by block.
trait Rule {
    /// The block at `at`, with the masks that the rule needs.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
    fn block(blocks: &mut Blocks<'_>, at: usize) -> Block {
        blocks.class_block(at)
    }

    /// The mask of bytes of `block` that start a pre-token. `last` is the block before, `next` the one
    /// after.
    fn starts(&mut self, text: &str, last: &Block, block: &Block, next: &Block) -> u64;
}

impl Splitter {
    /// The splitter that is equivalent to a pattern.
    pub(super) fn of_pattern(pattern: &str) -> Option<Self> {
        match pattern {
            BLOOM => Some(Self::Bloom),
            GPT2 => Some(Self::Gpt2),
            LLAMA3 => Some(Self::Cl100k { digits: 3 }),
            QWEN2 => Some(Self::Cl100k { digits: 1 }),
            _ => None,
        }
    }

    /// Visits start and end of all pre-tokens in order; together they cover the text.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "`visit` is the hottest call of all")]
    pub(super) fn split(self, text: &str, visit: impl FnMut(usize, usize)) {
        match self {
            Self::Bloom => each_pre_token(text, bloom::Bloom, visit),
            Self::Gpt2 => each_pre_token(text, gpt2::Gpt2::default(), visit),
            Self::Cl100k { digits } => each_pre_token(text, cl100k::Cl100k::new(digits), visit),
        }
    }
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "`visit` is the hottest call of all")]
fn each_pre_token<R: Rule>(text: &str, rule: R, visit: impl FnMut(usize, usize)) {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        #[allow(unsafe_code, reason = "the instruction set is known only at run time")]
        // SAFETY: the features were detected just before.
        return unsafe { each_pre_token_avx2(text, rule, visit) };
    }
    each_pre_token_of(text, rule, visit);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn each_pre_token_avx2<R: Rule>(text: &str, rule: R, visit: impl FnMut(usize, usize)) {
    each_pre_token_of(text, rule, visit);
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled twice, for two instruction sets")]
fn each_pre_token_of<R: Rule>(text: &str, mut rule: R, mut visit: impl FnMut(usize, usize)) {
    let bytes = text.as_bytes();
    let mut blocks = Blocks::new(bytes);
    let (mut last, mut block, mut from) = (Block::default(), R::block(&mut blocks, 0), 0);
    for start in (0..bytes.len()).step_by(64) {
        let next = R::block(&mut blocks, start + 64);
        let mut starts = rule.starts(text, &last, &block, &next) & !block.end;
        if start == 0 {
            // The start of the text is not a boundary.
            starts &= !1;
        }
        while starts != 0 {
            let at = start + starts.trailing_zeros() as usize;
            starts &= starts - 1;
            visit(from, at);
            from = at;
        }
        (last, block) = (block, next);
    }
    if from < bytes.len() {
        visit(from, bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokenizers::utils::SysRegex;

    /// What the crate's regex engine matches, with the text between matches as further pre-tokens.
    fn by_regex(regex: &SysRegex, text: &str) -> Vec<String> {
        let (mut pre_tokens, mut from) = (Vec::new(), 0);
        for (start, end) in regex.find_iter(text) {
            if from < start {
                pre_tokens.push(text[from..start].to_owned());
            }
            pre_tokens.push(text[start..end].to_owned());
            from = end;
        }
        if from < text.len() {
            pre_tokens.push(text[from..].to_owned());
        }
        pre_tokens
    }

    fn by_us(splitter: Splitter, text: &str) -> Vec<String> {
        let mut pre_tokens = Vec::new();
        splitter.split(text, |from, end| pre_tokens.push(text[from..end].to_owned()));
        pre_tokens
    }

    fn check(text: &str) {
        for pattern in [BLOOM, GPT2, LLAMA3, QWEN2] {
            let regex = SysRegex::new(pattern).unwrap();
            let splitter = Splitter::of_pattern(pattern).unwrap();
            assert_eq!(by_us(splitter, text), by_regex(&regex, text), "{pattern}: {text:?}");
        }
    }

    #[test]
    fn every_character_is_cut_as_the_regex_engine_cuts_it() {
        for pattern in [BLOOM, GPT2, LLAMA3, QWEN2] {
            let regex = SysRegex::new(pattern).unwrap();
            let splitter = Splitter::of_pattern(pattern).unwrap();
            for around in [["a", "b"], [" ", "a"], ["1", "1"], ["!", "!"], ["\n", " "], ["'", "s"]] {
                for start in (0..=u32::from(char::MAX)).step_by(4096) {
                    let letters = (start..start + 4096).filter_map(char::from_u32);
                    let text: String = letters
                        .flat_map(|letter| {
                            [around[0], letter.encode_utf8(&mut [0; 4]), around[1]]
                                .concat()
                                .chars()
                                .collect::<Vec<_>>()
                        })
                        .collect();
                    assert_eq!(by_us(splitter, &text), by_regex(&regex, &text), "{pattern} from {start:x}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn texts_are_cut_as_the_regex_engine_cuts_them(
            text in "([a-zA-Z' \t\r\n\u{a0}\u{85}\u{3000}.,!?()|\\[\\]0-9²½éſßΩж字。，、।۔،…\u{200b}\u{301}😀\u{e000}]|'(s|t|re|VE|m|Ll|d|ſ)){0,160}"
        ) {
            check(&text);
        }

        #[test]
        fn any_text_is_cut_as_the_regex_engine_cuts_it(text in "\\PC{0,120}") {
            check(&text);
        }
    }
}

//! What a post-processor adds to texts, found by running the crate's own code on a few sample texts.

use tokenizers::{Encoding, PostProcessor as _, PostProcessorWrapper, Token};

/// The ids that are added in front of every text and after it.
///
/// # Errors
/// A post-processor that fails or does anything else.
pub(super) fn affixes(processor: &PostProcessorWrapper) -> Result<(Vec<u32>, Vec<u32>), String> {
    let others = || "its post-processor does more than add tokens at both ends".to_owned();
    let mut found = None;
    // Any ids will do as samples, as long as no added token has one of them.
    for bare in [&[][..], &[u32::MAX], &[u32::MAX - 1, u32::MAX - 2], &[u32::MAX - 2, u32::MAX, u32::MAX - 1]]
    {
        let process = |adds_special| {
            let tokens = bare.iter().map(|&id| Token::new(id, "a".into(), (0, 1))).collect();
            let processed = processor.process(Encoding::from_tokens(tokens, 0), None, adds_special);
            processed.map(|encoding| encoding.get_ids().to_vec()).map_err(|error| error.to_string())
        };
        let with = process(true)?;
        let extra = with.len().checked_sub(bare.len()).ok_or_else(others)?;
        if process(false)? != bare {
            return Err(others());
        }
        if bare.is_empty() {
            // The position of the text is unclear here; the other samples tell.
            continue;
        }
        let fits = |at: &usize| with[*at..*at + bare.len()] == *bare;
        let at = (0..=extra).find(fits).ok_or_else(others)?;
        let affixes = (with[..at].to_vec(), with[at + bare.len()..].to_vec());
        if found.get_or_insert_with(|| affixes.clone()) != &affixes {
            return Err(others());
        }
    }
    Ok(found.unwrap_or_default())
}

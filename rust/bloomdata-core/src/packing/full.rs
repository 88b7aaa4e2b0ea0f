//! Packing `full` (GD-10): one endless stream of tokens, cut every `sequence_length` tokens; only its end is padded.

/// Tokens needed to fill up the last sequence of a stream of `num_tokens`.
pub const fn padding_tokens(num_tokens: u64, sequence_length: u64) -> u64 {
    match num_tokens % sequence_length {
        0 => 0,
        rest => sequence_length - rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_completes_a_sequence() {
        for length in 1..9 {
            for tokens in 0..40 {
                let padding = padding_tokens(tokens, length);
                assert!(padding < length && (tokens + padding).is_multiple_of(length));
            }
        }
    }
}

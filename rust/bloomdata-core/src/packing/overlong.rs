//! Conversations that are cut into pieces of a row each: a piece that begins within an answer does not train on the rest
//! of it, whose question and start it does not show.

use super::types::{COMPLETION, PROMPT, SEPARATOR};

/// Makes prompts of the rests of answers at the starts of pieces; how many tokens are kept. Nothing is trained on after
/// those: they are the rest of the last answer.
///
/// `types` are the token types of one article, little-endian, pieces are `length` tokens long. Articles without a prompt
/// are text, and stay as they are.
pub fn mask_rests(types: &mut [[u8; 4]], length: usize) -> usize {
    let [prompt, completion, separator] = [PROMPT, COMPLETION, SEPARATOR].map(u32::to_le_bytes);
    if !types.contains(&prompt) {
        return types.len();
    }
    for start in (length..types.len()).step_by(length) {
        if types[start - 1] != completion {
            continue;
        }
        let rest = types[start..].iter().take_while(|code| **code == completion).count();
        let end = start + rest;
        if end == types.len() || (types[end] == separator && end + 1 == types.len()) {
            return start;
        }
        // A separator stays: what follows must not attend to what is before.
        types[start..end].fill(prompt);
    }
    types.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(types: &str, length: usize) -> String {
        let mut codes: Vec<[u8; 4]> =
            types.bytes().map(|digit| u32::from(digit - b'0').to_le_bytes()).collect();
        let kept = mask_rests(&mut codes, length);
        codes[..kept].iter().map(|code| char::from(b'0' + code[0])).collect()
    }

    #[test]
    fn the_rest_of_an_answer_is_not_trained_on_and_a_last_one_is_left_out() {
        assert_eq!(masked("0011", 2), "0011");
        assert_eq!(masked("00111113", 4), "0011");
        assert_eq!(masked("0001113", 4), "0001");
        assert_eq!(masked("001111001113", 4), "001100001113");
        assert_eq!(masked("0011111111110013", 4), "0011000000000013");
        assert_eq!(masked("00111103", 4), "00110003");
        // A piece that begins with an answer trains on it, and texts have no prompts.
        assert_eq!(masked("00001113", 4), "00001113");
        assert_eq!(masked("11111113", 4), "11111113");
        // Within a list of pairs, each of which is a unit of attention.
        assert_eq!(masked("0011130013", 4), "0011030013");
    }
}

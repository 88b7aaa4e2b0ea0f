//! Places in a text are found in the JSON that it is written in, so that what is kept of it stays as it was written.

use crate::json_escapes::escape;

/// Where bytes of a text are in its JSON, the string without its quotes. `places` are boundaries of characters, in order.
pub fn json_places(json: &str, places: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let (mut at, mut text_at) = (0, 0);
    let mut found = Vec::new();
    for place in places {
        while text_at < place && at < json.len() {
            let rest = &json[at..];
            let plain = memchr::memchr(b'\\', rest.as_bytes()).unwrap_or(rest.len());
            if plain > 0 {
                let step = plain.min(place - text_at);
                at += step;
                text_at += step;
            } else {
                // What a parser has read has no other escapes.
                let (letter, size) = escape(rest).unwrap_or(('\\', 1));
                at += size;
                text_at += letter.len_utf8();
            }
        }
        found.push(at);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_as_long_as_they_are_written() {
        let json = r"a\né\u00e9\ud83d\ude00z";
        let text = "a\né\u{e9}\u{1F600}z";
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        assert_eq!(json_places(json, places), [0, 1, 3, 5, 11, 23, 24]);
    }
}

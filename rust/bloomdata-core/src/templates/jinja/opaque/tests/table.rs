//! The table of type tests in the lattice agrees with the interpreter.

use super::super::lattice::Class;
use super::random::made;
use crate::templates::chat::Chat;

const VALUES: [(Class, &str); 12] = [
    (Class::UNDEFINED, "messages[0].name"),
    (Class::NONE, "tools"),
    (Class::NONE, "messages[0].get('name')"),
    (Class::ROLE, "messages[0].role"),
    (Class::CONTENT, "messages[0].content"),
    (Class::CONTENT, "messages[0].content|trim"),
    (Class::TEXT, "(messages[0].content ~ 'a')"),
    (Class::MESSAGE, "messages[0]"),
    (Class::MESSAGES, "messages"),
    (Class::MESSAGES, "messages|selectattr('role')"),
    (Class::MESSAGES, "messages[1:]"),
    (Class::PIECES, "'a'.split('b')"),
];
const TESTS: [&str; 13] = [
    "string",
    "sequence",
    "iterable",
    "defined",
    "undefined",
    "none",
    "mapping",
    "number",
    "boolean",
    "integer",
    "float",
    "true",
    "false",
];

fn says(condition: &str) -> bool {
    let template = made(&format!("{{% if {condition} %}}yes{{% else %}}no{{% endif %}}")).unwrap();
    let chat = Chat::plain(vec![("user", "text")], None, None).unwrap();
    let said = template.render(&chat, false).unwrap();
    said.trim() == "yes"
}

#[test]
fn tests_and_truth_of_kinds_are_those_of_values() {
    for (kind, value) in VALUES {
        for test in TESTS {
            let (known, said) = (kind.test(test), says(&format!("{value} is {test}")));
            assert!(if said { known.yes } else { known.no }, "{value} is {test}: {said}");
        }
        let (known, said) = (kind.truth(), says(value));
        assert!(if said { known.yes } else { known.no }, "{value}: {said}");
        if [Class::UNDEFINED, Class::NONE].contains(&kind) {
            assert!(!says(&format!("{value} == ''")) && !says(&format!("{value} == 'a'")), "{value}");
        }
        if Class::MESSAGE_TEXT.has(kind) {
            let others = ["none", "1", "true", "false", "0"];
            assert!(!others.iter().any(|other| says(&format!("{value} == {other}"))), "{value}");
        }
    }
}

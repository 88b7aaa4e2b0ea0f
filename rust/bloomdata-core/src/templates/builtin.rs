//! Templates that have a name. Each is a Jinja template that puts messages in as they are, or stripped, and looks at
//! nothing but their roles: so its text is known without running it for every conversation.

/// A template with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// Its Jinja source.
    pub source: &'static str,
    /// Whether white space around messages is left out.
    pub strips: bool,
    /// Variables that it must be given.
    pub needs: &'static [&'static str],
}

/// All of them.
pub const BUILTIN: &[Builtin] = &[
    Builtin { name: "human_bot", source: include_str!("builtin/human_bot.jinja"), strips: false, needs: &[] },
    Builtin {
        name: "user_system",
        source: include_str!("builtin/user_system.jinja"),
        strips: false,
        needs: &["eos_token"],
    },
    Builtin {
        name: "alpaca",
        source: include_str!("builtin/alpaca.jinja"),
        strips: false,
        needs: &["eos_token"],
    },
    Builtin { name: "chatml", source: include_str!("builtin/chatml.jinja"), strips: false, needs: &[] },
    Builtin {
        name: "llama2",
        source: include_str!("builtin/llama2.jinja"),
        strips: true,
        needs: &["bos_token", "eos_token"],
    },
    Builtin {
        name: "llama3",
        source: include_str!("builtin/llama3.jinja"),
        strips: true,
        needs: &["bos_token"],
    },
    Builtin {
        name: "zephyr",
        source: include_str!("builtin/zephyr.jinja"),
        strips: false,
        needs: &["eos_token"],
    },
    Builtin {
        name: "mistral",
        source: include_str!("builtin/mistral.jinja"),
        strips: true,
        needs: &["bos_token", "eos_token"],
    },
];

/// The template of a name.
pub fn find(name: &str) -> Option<Builtin> {
    BUILTIN.iter().copied().find(|builtin| builtin.name == name)
}

//! Built-in templates. Each is a Jinja template that inserts messages verbatim or stripped and inspects
//! nothing but their roles, so that its text is known without running it for every conversation.

/// A built-in template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// Its Jinja source.
    pub source: &'static str,
    /// Variables that it requires.
    pub needs: &'static [&'static str],
}

/// All built-in templates.
pub const BUILTIN: &[Builtin] = &[
    Builtin { name: "human_bot", source: include_str!("builtin/human_bot.jinja"), needs: &[] },
    Builtin { name: "user_system", source: include_str!("builtin/user_system.jinja"), needs: &["eos_token"] },
    Builtin { name: "alpaca", source: include_str!("builtin/alpaca.jinja"), needs: &["eos_token"] },
    Builtin { name: "chatml", source: include_str!("builtin/chatml.jinja"), needs: &[] },
    Builtin {
        name: "llama2",
        source: include_str!("builtin/llama2.jinja"),

        needs: &["bos_token", "eos_token"],
    },
    Builtin { name: "llama3", source: include_str!("builtin/llama3.jinja"), needs: &["bos_token"] },
    Builtin { name: "zephyr", source: include_str!("builtin/zephyr.jinja"), needs: &["eos_token"] },
    Builtin {
        name: "mistral",
        source: include_str!("builtin/mistral.jinja"),

        needs: &["bos_token", "eos_token"],
    },
];

/// Finds a built-in template by its name.
pub fn find(name: &str) -> Option<Builtin> {
    BUILTIN.iter().copied().find(|builtin| builtin.name == name)
}

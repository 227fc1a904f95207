//! The grammar of the command line, which is that of 2.9.0 with its traps taken out.
//!
//! The first argument is the command. What follows are flags: `--flag value`, `--flag=value`, or a switch, which
//! stands alone or is followed by `true` or `false`. Of a flag that is given twice the last counts.

use std::collections::HashMap;

/// A flag that there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    /// What stands for its value in the help; `None` for a switch.
    pub(crate) value: Option<&'static str>,
    pub(crate) help: &'static str,
    /// Whether this build can do what it asks for.
    pub(crate) available: bool,
}

const fn flag(name: &'static str, value: &'static str, help: &'static str) -> Flag {
    Flag { name, value: Some(value), help, available: true }
}

const fn switch(name: &'static str, help: &'static str) -> Flag {
    Flag { name, value: None, help, available: true }
}

const fn to_come(flag: Flag) -> Flag {
    Flag { available: false, ..flag }
}

/// Every flag, in the order of the help.
pub(crate) const FLAGS: [Flag; 25] = [
    flag("server", "<cmd>", "Command line of the MCP server to wrap, quoted as for a shell"),
    flag("remote-url", "<url>", "Address of a remote MCP server to wrap instead"),
    flag("config", "<path>", "Configuration file (JSON); flags and PAYGATE_* variables win over it"),
    flag("port", "<n>", "Port to listen on; 0 picks a free one (default: 3402)"),
    flag("host", "<address>", "Address to listen on (default: all)"),
    flag("price", "<n>", "Credits a tool call costs (default: 1)"),
    flag("tool-price", "<t:n,...>", "Prices of single tools, such as search:5,write:3 (default: none)"),
    flag("rate-limit", "<n>", "Calls a minute of each key; 0 is no limit (default: 60)"),
    flag("name", "<text>", "Name of the server (default: PayGate MCP Server)"),
    switch("shadow", "Note refusals, but let all calls through (default: false)"),
    flag("admin-key", "<secret>", "Secret of the admin routes (default: made at every start)"),
    flag("import-key", "<k:n,...>", "Keys to make with so many credits, unless known (default: none)"),
    switch("reimport", "Start imported keys over although they are known (default: false)"),
    flag("state-file", "<path>", "File to keep keys and balances in (default: kept in memory only)"),
    switch("state-recover", "Read what can be read of a damaged state file (default: false)"),
    flag("durability", "<level>", "What the state file survives: process or power (default: process)"),
    switch("refund-on-failure", "Give credits back for calls that fail (default: false)"),
    flag("stripe-secret", "<secret>", "Signing secret of Stripe's webhooks (default: off)"),
    flag("webhook-url", "<url>", "Address that events are sent to (default: off)"),
    flag("webhook-secret", "<secret>", "Secret that events are signed with (default: unsigned)"),
    flag("webhook-retries", "<n>", "Attempts to deliver an event again (default: 5)"),
    to_come(flag("redis-url", "<url>", "Redis that several gateways share (default: off)")),
    flag("log-level", "<level>", "error, warn, info, debug or trace (default: info)"),
    to_come(switch("dry-run", "Show the tools and their prices, then exit (default: off)")),
    flag("max-body-bytes", "<n>", "Longest request body (default: 1048576)"),
];

/// The flag of that name.
pub(crate) fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

/// Flags as they were given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Args {
    values: HashMap<&'static str, String>,
    /// Words that belong to no flag.
    pub(crate) stray: Vec<String>,
}

/// Why the command line makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArgsError {
    UnknownFlag { name: String, suggestion: Option<&'static str> },
    NoValue { flag: &'static str },
    EmptyValue { given: String },
    NotBoolean { given: String, value: String },
}

impl std::fmt::Display for ArgsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownFlag { name, suggestion: None } => write!(f, "Unknown flag: --{name}"),
            Self::UnknownFlag { name, suggestion: Some(known) } => {
                write!(f, "Unknown flag: --{name}. Did you mean --{known}?")
            }
            Self::NoValue { flag } => write!(f, "--{flag} needs a value"),
            Self::EmptyValue { given } => write!(f, "{given} must not be empty"),
            Self::NotBoolean { given, value } => write!(f, "{given} is true or false, not {value:?}"),
        }
    }
}

impl Args {
    /// Reads the flags that follow the command.
    pub(crate) fn parse(words: &[String]) -> Result<Self, ArgsError> {
        let mut args = Self::default();
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let Some(given) = word.strip_prefix("--").filter(|given| !given.is_empty()) else {
                args.stray.push(word.clone());
                continue;
            };
            let (name, attached) = match given.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (given, None),
            };
            let flag = find(name).ok_or_else(|| unknown(name))?;
            let value = match (attached, flag.value) {
                (Some(value), _) => value,
                (None, Some(_)) => words
                    .next_if(|next| !is_flag(next))
                    .ok_or(ArgsError::NoValue { flag: flag.name })?
                    .clone(),
                (None, None) => words.next_if(|next| is_boolean(next)).cloned().unwrap_or("true".to_owned()),
            };
            args.values.insert(flag.name, checked(flag, value, &format!("--{}", flag.name))?);
        }
        Ok(args)
    }

    /// Adds what the environment says of flags that were not given.
    pub(crate) fn with_environment(
        mut self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ArgsError> {
        for flag in &FLAGS {
            if !self.values.contains_key(flag.name)
                && let Some(value) = variable(flag.name)
            {
                let value = checked(flag, value, &crate::env::variable_of(flag.name))?;
                self.values.insert(flag.name, value);
            }
        }
        Ok(self)
    }

    /// The value of a flag, if it was given.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        debug_assert!(find(name).is_some(), "--{name} is in the table");
        self.values.get(name).map(String::as_str)
    }

    /// What a switch was set to, if it was given.
    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        self.value(name).map(|value| value == "true")
    }

    /// The first flag given that this build cannot do justice.
    pub(crate) fn unavailable(&self) -> Option<&'static str> {
        let given = |flag: &&Flag| self.values.get(flag.name).is_some_and(|value| value != "false");
        FLAGS.iter().filter(|flag| !flag.available).find(given).map(|flag| flag.name)
    }
}

fn checked(flag: &Flag, value: String, given: &str) -> Result<String, ArgsError> {
    if value.is_empty() {
        return Err(ArgsError::EmptyValue { given: given.to_owned() });
    }
    if flag.value.is_none() && !is_boolean(&value) {
        return Err(ArgsError::NotBoolean { given: given.to_owned(), value });
    }
    Ok(value)
}

fn is_boolean(word: &str) -> bool {
    matches!(word, "true" | "false")
}

/// Whether a word is a flag that there is, and so not meant as the value of the flag before it.
fn is_flag(word: &str) -> bool {
    word.strip_prefix("--").is_some_and(|given| find(given.split('=').next().unwrap_or(given)).is_some())
}

fn unknown(name: &str) -> ArgsError {
    let nearest = FLAGS.iter().min_by_key(|flag| strsim::damerau_levenshtein(flag.name, name));
    let close = |flag: &&Flag| strsim::damerau_levenshtein(flag.name, name) <= 1 + name.len() / 4;
    ArgsError::UnknownFlag { name: name.to_owned(), suggestion: nearest.filter(close).map(|flag| flag.name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, ArgsError> {
        let words: Vec<String> =
            line.split(' ').map(|word| word.replace('_', " ").replace('@', "")).collect();
        Args::parse(&words)
    }

    #[test]
    fn values_follow_their_flag_or_are_attached_to_it() {
        let args = parse("--server node_x.js --port=80 --price -1 --admin-key=--x --name --odd").unwrap();
        assert_eq!(args.value("server"), Some("node x.js"));
        assert_eq!(args.value("port"), Some("80"));
        assert_eq!(args.value("price"), Some("-1"));
        assert_eq!(args.value("admin-key"), Some("--x"));
        assert_eq!(args.value("name"), Some("--odd"));
        assert_eq!(args.value("host"), None);
    }

    #[test]
    fn of_a_flag_that_is_given_twice_the_last_counts() {
        assert_eq!(parse("--port 1 --port=2 --port 3").unwrap().value("port"), Some("3"));
    }

    #[test]
    fn switches_stand_alone_or_say_which_way() {
        assert_eq!(parse("--shadow").unwrap().switch("shadow"), Some(true));
        assert_eq!(parse("--shadow false --port 1").unwrap().switch("shadow"), Some(false));
        assert_eq!(parse("--refund-on-failure=false").unwrap().switch("refund-on-failure"), Some(false));
        let args = parse("--shadow yes").unwrap();
        assert_eq!((args.switch("shadow"), args.stray), (Some(true), vec!["yes".to_owned()]));
        assert_eq!(
            parse("--shadow=yes").unwrap_err(),
            ArgsError::NotBoolean { given: "--shadow".into(), value: "yes".into() }
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert_eq!(parse("--server --port 3").unwrap_err(), ArgsError::NoValue { flag: "server" });
        assert_eq!(parse("--server").unwrap_err(), ArgsError::NoValue { flag: "server" });
        for empty in ["--admin-key @", "--admin-key="] {
            assert_eq!(parse(empty).unwrap_err().to_string(), "--admin-key must not be empty");
        }
        assert_eq!(parse("--prot 3").unwrap_err().to_string(), "Unknown flag: --prot. Did you mean --port?");
        assert_eq!(parse("--frobnicate 3").unwrap_err().to_string(), "Unknown flag: --frobnicate");
    }

    #[test]
    fn the_environment_speaks_where_no_flag_does() {
        let variable = |flag: &str| (flag == "port" || flag == "price").then(|| "7".to_owned());
        let args = parse("--port 1").unwrap().with_environment(variable).unwrap();
        assert_eq!((args.value("port"), args.value("price")), (Some("1"), Some("7")));
        let empty =
            parse("--port 1").unwrap().with_environment(|flag| (flag == "admin-key").then(String::new));
        assert_eq!(empty.unwrap_err().to_string(), "PAYGATE_ADMIN_KEY must not be empty");
    }

    #[test]
    fn what_is_to_come_is_named() {
        assert_eq!(parse("--port 1 --redis-url redis://x").unwrap().unavailable(), Some("redis-url"));
        assert_eq!(parse("--dry-run=false").unwrap().unavailable(), None);
    }
}

//! Splits a command written as one line.

use std::path::Path;

/// Why a command line could not be split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    /// A quote is not closed.
    #[error("missing closing quote in {line:?}")]
    OpenQuote {
        /// The command line.
        line: String,
    },
    /// There is no word in it.
    #[error("the command line is empty")]
    Empty,
}

/// Splits a command line into command and arguments as a shell would: words, quotes and
/// backslashes, but no variables, patterns or pipes.
///
/// A word that is `~` or starts with `~/` has the tilde replaced by `home`.
///
/// # Errors
/// When a quote is not closed, or there is no command.
pub fn split_command_line(
    line: &str,
    home: Option<&Path>,
) -> Result<(String, Vec<String>), CommandLineError> {
    let words =
        shell_words::split(line).map_err(|_| CommandLineError::OpenQuote { line: line.to_owned() })?;
    let mut words = words.into_iter().map(|word| at_home(word, home));
    let command = words.next().filter(|command| !command.is_empty()).ok_or(CommandLineError::Empty)?;
    Ok((command, words.collect()))
}

fn at_home(word: String, home: Option<&Path>) -> String {
    match (home, word.strip_prefix('~')) {
        (Some(home), Some(rest)) if rest.is_empty() || rest.starts_with('/') => {
            format!("{}{rest}", home.display())
        }
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Result<(String, Vec<String>), CommandLineError> {
        split_command_line(line, Some(Path::new("/home/ada")))
    }

    #[test]
    fn words_are_split_as_a_shell_splits_them() {
        let words = split(r#"npx -y "a server" 'it'\''s' --x=1\ 2"#).unwrap();
        assert_eq!(
            words,
            ("npx".into(), vec!["-y".into(), "a server".into(), "it's".into(), "--x=1 2".into()])
        );
    }

    #[test]
    fn only_a_leading_tilde_is_the_home_folder() {
        let words = split("~/bin/server ~ ~other a~/b").unwrap();
        assert_eq!(
            words,
            ("/home/ada/bin/server".into(), vec!["/home/ada".into(), "~other".into(), "a~/b".into()])
        );
        assert_eq!(split_command_line("~/x", None).unwrap().0, "~/x");
    }

    #[test]
    fn a_line_without_a_command_is_an_error() {
        assert_eq!(split("  "), Err(CommandLineError::Empty));
        assert_eq!(split("''"), Err(CommandLineError::Empty));
        assert_eq!(split("a \"b"), Err(CommandLineError::OpenQuote { line: "a \"b".into() }));
    }
}

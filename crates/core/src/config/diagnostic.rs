//! What is wrong with a configuration, and how it is told.

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing starts.
    Error,
    /// It starts, but perhaps not as it is meant.
    Warning,
}

impl Level {
    /// The word that programs know it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Level,
    /// The field, by the name the user wrote.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl Diagnostic {
    /// A finding with which nothing starts.
    pub fn error(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { level: Level::Error, field: field.into(), message: message.into() }
    }

    /// A finding with which it starts all the same.
    pub fn warning(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, field: field.into(), message: message.into() }
    }
}

/// Findings as text: errors first, then warnings, each in the order given.
pub fn format_diagnostics(findings: &[Diagnostic]) -> String {
    if findings.is_empty() {
        return "✓ Config is valid.".to_owned();
    }
    let group = |level: Level, head: &str, label: &str| {
        let found: Vec<_> = findings.iter().filter(|finding| finding.level == level).collect();
        let lines = found.iter().map(|finding| format!("{label}[{}] {}", finding.field, finding.message));
        let head = (!found.is_empty()).then(|| format!("{head} {} {}(s):", found.len(), level.as_str()));
        head.into_iter().chain(lines).collect::<Vec<_>>()
    };
    let errors = group(Level::Error, "✗", "  ERROR  ");
    let warnings = group(Level::Warning, "⚠", "  WARN   ");
    [errors, warnings].concat().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_before_warnings() {
        let findings = [
            Diagnostic::warning("shadowMode", "on"),
            Diagnostic::error("port", "bad"),
            Diagnostic::error("name", "worse"),
        ];
        assert_eq!(
            format_diagnostics(&findings),
            "✗ 2 error(s):\n  ERROR  [port] bad\n  ERROR  [name] worse\n⚠ 1 warning(s):\n  WARN   [shadowMode] on"
        );
        assert_eq!(format_diagnostics(&[]), "✓ Config is valid.");
    }
}

//! Why a message was not understood.

/// Why a message was not understood, with the JSON-RPC code and text to answer it with.
///
/// Whatever is refused here was refused before anything was charged or sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes are not UTF-8.
    #[error("Parse error: not valid UTF-8")]
    NotUtf8,
    /// The text is not JSON.
    #[error("Parse error")]
    NotJson,
    /// The JSON is a list or a scalar; lists of messages are not taken.
    #[error("Invalid Request: the message must be one JSON object")]
    NotAnObject,
    /// A member of the message stands in it twice, so that two readers could read two messages.
    #[error("Invalid Request: duplicate member {name:?}")]
    DuplicateMember {
        /// The member.
        name: &'static str,
    },
    /// A member is spelled like one of the message's own but for the case of its letters.
    ///
    /// Some JSON readers (Go's among them) take both for the same, so the message that was
    /// judged would not be the message that is understood.
    #[error("Invalid Request: member {found:?} differs from {name:?} only in case")]
    LookalikeMember {
        /// The member as written.
        found: String,
        /// The member it resembles.
        name: &'static str,
    },
    /// Lists and objects are nested deeper than [`DEPTH_MAX`](super::DEPTH_MAX).
    #[error("Invalid Request: nested deeper than {levels_max} levels")]
    TooDeep {
        /// The deepest nesting that is taken.
        levels_max: usize,
    },
    /// The id is a list, an object or a boolean.
    #[error("Invalid Request: id must be a string or a number")]
    BadId,
    /// The method is no string.
    #[error("Invalid Request: method must be a string")]
    BadMethod,
    /// A tool call names no tool.
    #[error("Invalid tool call: missing tool name")]
    MissingToolName,
    /// The params of a tool call are ambiguous or of the wrong kind.
    #[error("Invalid params: {detail}")]
    BadParams {
        /// What is wrong, naming the member.
        detail: String,
    },
    /// An answer holds neither a result nor an error.
    #[error("Invalid response: neither result nor error")]
    NotAReply,
}

impl WireError {
    /// The JSON-RPC error code that answers this failure.
    #[must_use]
    pub fn code(&self) -> i64 {
        match self {
            Self::NotUtf8 | Self::NotJson => -32700,
            Self::NotAnObject
            | Self::DuplicateMember { .. }
            | Self::LookalikeMember { .. }
            | Self::TooDeep { .. }
            | Self::BadId
            | Self::BadMethod => -32600,
            Self::MissingToolName | Self::BadParams { .. } => -32602,
            Self::NotAReply => -32603,
        }
    }

    /// The JSON-RPC error message that answers this failure.
    #[must_use]
    pub fn message(&self) -> String {
        self.to_string()
    }
}

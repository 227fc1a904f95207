//! The params of `tools/call` and `tools/call_batch`.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    WireError,
    members::{MembersError, Names, read_members, read_string},
};

/// What a tool call asks for: the tool's name, read; everything else, raw.
#[derive(Debug, Clone)]
pub struct ToolCall<'a> {
    /// The tool, never empty.
    pub name: Cow<'a, str>,
    /// The arguments as written.
    pub arguments: Option<&'a RawValue>,
    /// The call's `_meta` as written.
    pub meta: Option<&'a RawValue>,
    /// The name as written, which is what is exchanged when the call is renamed.
    pub(super) name_raw: &'a RawValue,
}

impl<'a> ToolCall<'a> {
    /// Reads the params of a `tools/call`.
    ///
    /// # Errors
    /// [`WireError::MissingToolName`] when no tool is named, [`WireError::BadParams`] when the
    /// name is no string or a member could be read in two ways.
    pub fn from_params(params: Option<&'a RawValue>) -> Result<Self, WireError> {
        let params = params.ok_or(WireError::MissingToolName)?;
        let [name, arguments, meta] = match read_call(params) {
            Err(MembersError::NotAnObject | MembersError::Syntax) => return Err(WireError::MissingToolName),
            other => other.map_err(|error| bad_params(&error, ""))?,
        };
        // What is false in JavaScript names no tool; so 2.9.0 had it.
        let name_raw = name
            .filter(|raw| !matches!(raw.get(), "null" | "false" | "0" | "\"\""))
            .ok_or(WireError::MissingToolName)?;
        let name = read_string(name_raw)
            .ok_or_else(|| WireError::BadParams { detail: "\"name\" must be a string".to_owned() })?;
        Ok(Self { name, arguments, meta, name_raw })
    }
}

/// The calls of a `tools/call_batch`, each with a name.
#[derive(Debug, Clone)]
pub struct BatchCalls<'a> {
    /// The calls in the order given; may be empty.
    pub calls: Vec<ToolCall<'a>>,
    /// The batch's `_meta` as written.
    pub meta: Option<&'a RawValue>,
}

impl<'a> BatchCalls<'a> {
    /// Reads the params of a `tools/call_batch` of at most `calls_max` calls.
    ///
    /// # Errors
    /// [`WireError::BadParams`] when `calls` is no list or too long, or naming the first call
    /// that is not an object with a name.
    pub fn from_params(params: Option<&'a RawValue>, calls_max: usize) -> Result<Self, WireError> {
        let missing = || WireError::BadParams { detail: "\"calls\" array is required".to_owned() };
        let wanted = ["calls", "_meta"];
        let [calls, meta] = match read_members(params.ok_or_else(missing)?.get(), wanted, Names::Unmistakable)
        {
            Err(MembersError::NotAnObject | MembersError::Syntax) => return Err(missing()),
            other => other.map_err(|error| bad_params(&error, ""))?,
        };
        let calls: Vec<&'a RawValue> =
            calls.and_then(|raw| serde_json::from_str(raw.get()).ok()).ok_or_else(missing)?;
        if calls.len() > calls_max {
            let detail = format!("\"calls\" holds {} calls, at most {calls_max} are allowed", calls.len());
            return Err(WireError::BadParams { detail });
        }
        let calls = calls
            .into_iter()
            .enumerate()
            .map(|(index, raw)| read_entry(index, raw))
            .collect::<Result<_, _>>()?;
        Ok(Self { calls, meta })
    }
}

fn read_entry(index: usize, raw: &RawValue) -> Result<ToolCall<'_>, WireError> {
    let malformed = || WireError::BadParams {
        detail: format!("calls[{index}] must be an object with a string \"name\""),
    };
    let [name, arguments, meta] = match read_call(raw) {
        Err(MembersError::NotAnObject | MembersError::Syntax) => return Err(malformed()),
        other => other.map_err(|error| bad_params(&error, &format!(" in calls[{index}]")))?,
    };
    let name_raw = name.ok_or_else(malformed)?;
    let name = read_string(name_raw).filter(|name| !name.is_empty()).ok_or_else(malformed)?;
    Ok(ToolCall { name, arguments, meta, name_raw })
}

fn read_call(raw: &RawValue) -> Result<[Option<&RawValue>; 3], MembersError> {
    read_members(raw.get(), ["name", "arguments", "_meta"], Names::Unmistakable)
}

fn bad_params(error: &MembersError, place: &str) -> WireError {
    let detail = match error {
        MembersError::Syntax | MembersError::NotAnObject => format!("an object is required{place}"),
        MembersError::Duplicate(name) => format!("duplicate member {name:?}{place}"),
        MembersError::Lookalike { found, name } => {
            format!("member {found:?} differs from {name:?} only in case{place}")
        }
    };
    WireError::BadParams { detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    fn call(params: &str) -> Result<ToolCall<'_>, WireError> {
        ToolCall::from_params(Some(raw(params)))
    }

    fn batch(params: &str) -> Result<BatchCalls<'_>, WireError> {
        BatchCalls::from_params(Some(raw(params)), 3)
    }

    fn detail<T: std::fmt::Debug>(result: Result<T, WireError>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.code(), -32602);
        error.message()
    }

    #[test]
    fn a_call_is_read_as_far_as_it_is_judged() {
        let call = call(r#"{"name":"s\u00e9arch","arguments":{"a": 1.0},"_meta":{},"task":{}}"#).unwrap();
        assert_eq!(call.name, "séarch");
        assert_eq!(call.arguments.unwrap().get(), "{\"a\": 1.0}");
        assert_eq!(call.meta.unwrap().get(), "{}");
    }

    #[test]
    fn a_call_without_a_name_is_refused_with_the_words_of_2_9_0() {
        assert_eq!(ToolCall::from_params(None).unwrap_err(), WireError::MissingToolName);
        for params in ["{}", "null", "[]", "\"x\"", r#"{"name":""}"#, r#"{"name":null}"#, r#"{"name":0}"#] {
            assert_eq!(detail(call(params)), "Invalid tool call: missing tool name", "{params}");
        }
    }

    #[test]
    fn the_tool_that_is_judged_is_the_only_one_named() {
        assert_eq!(detail(call(r#"{"name":["x"]}"#)), "Invalid params: \"name\" must be a string");
        assert_eq!(detail(call(r#"{"name":"a","name":"b"}"#)), "Invalid params: duplicate member \"name\"");
        assert_eq!(
            detail(call(r#"{"name":"a","arguments":{},"arguments":1}"#)),
            "Invalid params: duplicate member \"arguments\""
        );
        assert_eq!(
            detail(call(r#"{"name":"a","NAME":"b"}"#)),
            "Invalid params: member \"NAME\" differs from \"name\" only in case"
        );
    }

    #[test]
    fn a_batch_is_read_call_by_call() {
        let batch =
            batch(r#"{"calls":[{"name":"a"},{"name":"b","arguments":[2]}],"_meta":{"k":1}}"#).unwrap();
        let names: Vec<_> = batch.calls.iter().map(|call| &*call.name).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(batch.calls[1].arguments.unwrap().get(), "[2]");
        assert_eq!(batch.meta.unwrap().get(), "{\"k\":1}");
    }

    #[test]
    fn a_batch_without_a_list_of_calls_is_refused() {
        assert_eq!(BatchCalls::from_params(None, 3).unwrap_err().code(), -32602);
        for params in ["{}", "[]", "null", r#"{"calls":null}"#, r#"{"calls":{}}"#, r#"{"calls":"x"}"#] {
            assert_eq!(detail(batch(params)), "Invalid params: \"calls\" array is required", "{params}");
        }
        assert!(batch(r#"{"calls":[]}"#).unwrap().calls.is_empty());
    }

    #[test]
    fn the_first_malformed_call_of_a_batch_is_named() {
        for entry in ["null", "7", "[]", "{}", r#"{"name":7}"#, r#"{"name":""}"#, r#"{"name":null}"#] {
            assert_eq!(
                detail(batch(&format!(r#"{{"calls":[{{"name":"a"}},{entry},7]}}"#))),
                "Invalid params: calls[1] must be an object with a string \"name\"",
                "{entry}"
            );
        }
        assert_eq!(
            detail(batch(r#"{"calls":[{"name":"a","name":"b"}]}"#)),
            "Invalid params: duplicate member \"name\" in calls[0]"
        );
    }

    #[test]
    fn a_batch_has_at_most_so_many_calls() {
        let calls = |count: usize| format!(r#"{{"calls":[{}]}}"#, vec![r#"{"name":"a"}"#; count].join(","));
        assert_eq!(batch(&calls(3)).unwrap().calls.len(), 3);
        assert_eq!(
            detail(batch(&calls(4))),
            "Invalid params: \"calls\" holds 4 calls, at most 3 are allowed"
        );
    }
}

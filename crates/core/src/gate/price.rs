//! What a call costs.

use std::collections::HashMap;
use std::sync::Arc;

use super::argument_size::{TooDeep, json_bytes};
use crate::credits::Credits;

/// Levels of nesting that arguments may have where their size counts.
const ARGUMENT_DEPTH_MAX: usize = 1000;

/// What one tool costs and how often it may be called.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolTerms {
    /// The tool's exact name.
    pub name: Arc<str>,
    /// Base price of one call.
    pub credits_per_call: Credits,
    /// Calls a minute of each key; 0 or below is no limit of its own.
    pub calls_per_minute: f64,
    /// Surcharge for each KiB of arguments; 0 or below is none.
    pub credits_per_kb: f64,
}

/// The arguments of a call, as far as the price needs them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arguments<'a> {
    /// The call has none.
    None,
    /// They print as so many bytes of compact JSON.
    Bytes(f64),
    /// They stand as JSON text.
    Json(&'a str),
}

impl<'a> Arguments<'a> {
    /// Arguments as they stand in a message. What JavaScript takes for false counts as none.
    pub fn json(text: Option<&'a str>) -> Self {
        match text {
            None | Some("null" | "false" | "\"\"" | "0" | "-0" | "0.0" | "-0.0") => Self::None,
            Some(text) => Self::Json(text),
        }
    }

    fn bytes(self) -> Result<Option<f64>, TooDeep> {
        Ok(match self {
            Self::None => None,
            Self::Bytes(bytes) => Some(bytes),
            #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
            Self::Json(text) => Some(json_bytes(text, ARGUMENT_DEPTH_MAX)? as f64),
        })
    }
}

/// Prices by exact tool name, and the price of all others.
#[derive(Debug, Clone)]
pub struct PriceList {
    /// The price of a tool that is not listed.
    pub default: Credits,
    tools: HashMap<Arc<str>, ToolTerms, foldhash::fast::RandomState>,
    /// The names of the tools that are listed, in the order in which they came.
    names: Vec<Arc<str>>,
    any_limited: bool,
}

impl PriceList {
    /// The same price for all tools.
    pub fn flat(default: Credits) -> Self {
        Self::new(default, [])
    }

    /// Prices for some tools, and the price of all others.
    pub fn new(default: Credits, tools: impl IntoIterator<Item = ToolTerms>) -> Self {
        let mut list = Self { default, tools: HashMap::default(), names: Vec::new(), any_limited: false };
        for terms in tools {
            let name = terms.name.clone();
            if list.tools.insert(name.clone(), terms).is_none() {
                list.names.push(name);
            }
        }
        list.any_limited = list.tools.values().any(|terms| terms.calls_per_minute > 0.0);
        list
    }

    /// Whether any tool has a limit of its own.
    pub fn any_limited(&self) -> bool {
        self.any_limited
    }

    /// The terms of all tools that are listed, in the order in which they came.
    pub fn listed(&self) -> impl Iterator<Item = &ToolTerms> {
        self.names.iter().filter_map(|name| self.terms(name))
    }

    /// The terms of a tool that is listed.
    pub fn terms(&self, tool: &str) -> Option<&ToolTerms> {
        self.tools.get(tool)
    }

    /// Base price of one call, without a surcharge.
    pub fn base(&self, tool: &str) -> Credits {
        self.terms(tool).map_or(self.default, |terms| terms.credits_per_call)
    }

    /// Price of one call with its arguments.
    ///
    /// # Errors
    /// Arguments that are nested too deeply to be measured.
    pub fn price(&self, tool: &str, arguments: Arguments<'_>) -> Result<Credits, TooDeep> {
        match self.terms(tool) {
            None => Ok(self.default),
            Some(terms) => terms.price(arguments),
        }
    }
}

impl ToolTerms {
    /// Price of one call with its arguments.
    ///
    /// The surcharge is `ceil(bytes / 1024 × credits_per_kb)` in double arithmetic, in this order, so that it is the
    /// same number everywhere.
    ///
    /// # Errors
    /// Arguments that are nested too deeply to be measured.
    pub fn price(&self, arguments: Arguments<'_>) -> Result<Credits, TooDeep> {
        if self.credits_per_kb.is_nan() || self.credits_per_kb <= 0.0 {
            return Ok(self.credits_per_call);
        }
        let Some(bytes) = arguments.bytes()? else { return Ok(self.credits_per_call) };
        let surcharge = (bytes / 1024.0 * self.credits_per_kb).ceil();
        let surcharge = Credits::floored(surcharge).unwrap_or(Credits::MAX);
        Ok(self.credits_per_call.plus(surcharge).unwrap_or(Credits::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(credits_per_kb: f64) -> ToolTerms {
        let one = Credits::new(1).unwrap();
        ToolTerms { name: "kb".into(), credits_per_call: one, calls_per_minute: 0.0, credits_per_kb }
    }

    #[test]
    fn the_surcharge_steps_with_the_size_of_the_arguments() {
        let price = |bytes| terms(2.0).price(Arguments::Bytes(bytes)).unwrap().get();
        assert_eq!([508.0, 512.0, 513.0, 1024.0, 1025.0, 2049.0].map(price), [2, 2, 3, 3, 4, 6]);
    }

    #[test]
    fn arguments_that_are_false_cost_nothing_more() {
        for text in ["null", "0", "\"\"", "false"] {
            assert_eq!(terms(2.0).price(Arguments::json(Some(text))).unwrap().get(), 1, "{text}");
        }
        assert_eq!(terms(2.0).price(Arguments::json(Some("{}"))).unwrap().get(), 2);
    }

    #[test]
    fn rounding_is_that_of_doubles() {
        assert_eq!(terms(0.07).price(Arguments::Bytes(102_400.0)).unwrap().get(), 9);
    }
}

//! Prices as they are told: beside a tool in a list, of one tool, and of the whole server.

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::price::PriceList;
use crate::config::GateConfig;
use crate::key::record::{number_value, quota_value};

/// The code of the JSON-RPC error that asks for payment.
pub const PAYMENT_ERROR_CODE: i32 = -32402;

/// What a tool costs and how often it may be called.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolPricing<'a> {
    /// The tool's exact name.
    pub name: &'a str,
    /// Base price of one call.
    pub credits_per_call: u64,
    /// Surcharge for each KiB of arguments.
    #[serde(serialize_with = "plain_number")]
    pub credits_per_kb_input: f64,
    /// Calls a minute of each key; 0 means that only the global limit counts.
    #[serde(serialize_with = "plain_number")]
    pub rate_limit_per_min: f64,
    /// Whether the size of the arguments counts.
    pub pricing_model: PricingModel,
}

/// Whether the price of a call depends on its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PricingModel {
    /// It does not.
    Flat,
    /// It grows with their size.
    Dynamic,
}

/// What clients need to know of paying at a server.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentMetadata<'a> {
    spec_version: &'static str,
    server_name: &'a str,
    billing_model: &'static str,
    default_credits_per_call: u64,
    #[serde(serialize_with = "plain_number")]
    global_rate_limit_per_min: f64,
    shadow_mode: bool,
    auth_methods: &'static [&'static str],
    oauth_supported: bool,
    payment_error_code: i32,
    pricing_endpoint: &'static str,
    global_quota: Value,
    tool_count: usize,
}

/// The prices of all tools of a server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PriceDocument<'a> {
    /// What goes for the whole server.
    pub server: PaymentMetadata<'a>,
    /// The tools, in the order in which they were discovered.
    pub tools: Vec<ToolPricing<'a>>,
}

fn plain_number<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    number_value(*number).serialize(serializer)
}

impl PriceList {
    /// What is told of a tool, listed or not.
    pub fn pricing<'a>(&self, tool: &'a str) -> ToolPricing<'a> {
        let terms = self.terms(tool);
        let credits_per_kb_input = terms.map_or(0.0, |terms| terms.credits_per_kb);
        ToolPricing {
            name: tool,
            credits_per_call: self.base(tool).get(),
            credits_per_kb_input,
            rate_limit_per_min: terms.map_or(0.0, |terms| terms.calls_per_minute),
            pricing_model: if credits_per_kb_input > 0.0 {
                PricingModel::Dynamic
            } else {
                PricingModel::Flat
            },
        }
    }
}

impl<'a> PaymentMetadata<'a> {
    /// What is told of a server with so many tools. `oauth` says whether it also takes OAuth access tokens.
    pub fn new(server_name: &'a str, config: &GateConfig, oauth: bool, tool_count: usize) -> Self {
        Self {
            spec_version: "2007-draft",
            server_name,
            billing_model: "credits",
            default_credits_per_call: config.prices.default.get(),
            global_rate_limit_per_min: config.global_rate_limit,
            shadow_mode: config.shadow_mode,
            auth_methods: if oauth { &["X-API-Key", "Bearer (OAuth 2.1)"] } else { &["X-API-Key"] },
            oauth_supported: oauth,
            payment_error_code: PAYMENT_ERROR_CODE,
            pricing_endpoint: "/pricing",
            global_quota: config.global_quota.as_ref().map_or(Value::Null, quota_value),
            tool_count,
        }
    }
}

impl<'a> PriceDocument<'a> {
    /// What is told of a server and of these tools.
    pub fn new(server_name: &'a str, config: &GateConfig, oauth: bool, tools: &'a [String]) -> Self {
        Self {
            server: PaymentMetadata::new(server_name, config, oauth, tools.len()),
            tools: tools.iter().map(|tool| config.prices.pricing(tool)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credits::Credits;
    use crate::gate::ToolTerms;
    use crate::limit::quota::Quota;

    fn config() -> GateConfig {
        let terms = |name: &str, credits, calls_per_minute, credits_per_kb| ToolTerms {
            name: name.into(),
            credits_per_call: Credits::new(credits).unwrap(),
            calls_per_minute,
            credits_per_kb,
        };
        let tools = [terms("a", 5, 9.0, 2.0), terms("z", 0, 0.0, 0.0), terms("odd", 1, 0.0, -1.0)];
        GateConfig { prices: PriceList::new(Credits::new(1).unwrap(), tools), ..GateConfig::default() }
    }

    fn json(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn a_tool_is_told_with_its_terms_or_the_default_ones() {
        for (tool, told) in [
            (
                "a",
                r#"{"name":"a","creditsPerCall":5,"creditsPerKbInput":2,"rateLimitPerMin":9,"pricingModel":"dynamic"}"#,
            ),
            (
                "z",
                r#"{"name":"z","creditsPerCall":0,"creditsPerKbInput":0,"rateLimitPerMin":0,"pricingModel":"flat"}"#,
            ),
            (
                "odd",
                r#"{"name":"odd","creditsPerCall":1,"creditsPerKbInput":-1,"rateLimitPerMin":0,"pricingModel":"flat"}"#,
            ),
            (
                "none",
                r#"{"name":"none","creditsPerCall":1,"creditsPerKbInput":0,"rateLimitPerMin":0,"pricingModel":"flat"}"#,
            ),
        ] {
            assert_eq!(json(&config().prices.pricing(tool)), told);
        }
    }

    #[test]
    fn a_server_with_default_settings_tells_2_9_0s_metadata() {
        let told = PaymentMetadata::new("PayGate MCP Server", &GateConfig::default(), false, 0);
        assert_eq!(
            json(&told),
            r#"{"specVersion":"2007-draft","serverName":"PayGate MCP Server","billingModel":"credits","defaultCreditsPerCall":1,"globalRateLimitPerMin":60,"shadowMode":false,"authMethods":["X-API-Key"],"oauthSupported":false,"paymentErrorCode":-32402,"pricingEndpoint":"/pricing","globalQuota":null,"toolCount":0}"#
        );
    }

    #[test]
    fn the_document_has_every_tool_in_order() {
        let quota = Quota { daily_calls: 5.0, monthly_calls: 0.0, daily_credits: 0.0, monthly_credits: 0.0 };
        let config = GateConfig { global_quota: Some(quota), ..config() };
        let tools = ["z".to_owned(), "none".to_owned(), "a".to_owned()];
        let told = serde_json::to_value(PriceDocument::new("s", &config, true, &tools)).unwrap();
        let names: Vec<_> = told["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
        assert_eq!(names, ["z", "none", "a"]);
        assert_eq!(told["server"]["toolCount"], 3);
        assert_eq!(told["server"]["authMethods"][1], "Bearer (OAuth 2.1)");
        assert_eq!(told["server"]["globalQuota"]["dailyCallLimit"], 5);
    }
}

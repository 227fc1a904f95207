//! Lists of tools: told with their prices, and without those that a caller may not use.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use paygate_core::gate::{Gate, PriceList};
use paygate_mcp_wire::wire::Outgoing;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::watch;

use crate::app::App;
use crate::backend::under_prefix;
use crate::backend::wrapped::Wrapped;
use crate::members::Members;
use crate::news::News;

/// Pages that are asked for at most: a server that never comes to an end is not followed for ever.
const PAGES_MAX: usize = 100;

/// Whether the servers have been asked for their tools.
#[derive(Debug, Default)]
pub(crate) struct Discovery(watch::Sender<bool>);

impl Discovery {
    /// Waits until the servers have answered, or failed to.
    pub(crate) async fn ended(&self) {
        // The sender is here, so that there is no error.
        let _ = self.0.subscribe().wait_for(|ended| *ended).await;
    }
}

/// The result of a `tools/list` as a caller is told it. `None` when it has no list of tools, and stays as it is.
pub(crate) fn for_caller(
    gate: &Gate,
    news: &News,
    key: Option<&str>,
    result: &RawValue,
) -> Option<Members<Box<RawValue>>> {
    let mut members: Members<Box<RawValue>> = serde_json::from_str(result.get()).ok()?;
    let tools = members.get_mut("tools")?;
    let all: Vec<&RawValue> = serde_json::from_str(tools.get()).ok()?;
    news.tools_listed(all.iter().map(|tool| name_of(tool)).collect());
    let config = gate.config();
    let filtered = gate.filters_tools(key);
    let told = all.into_iter().filter(|tool| !filtered || gate.tool_visible(key, &name_of(tool)));
    let told: Vec<Box<RawValue>> = told.map(|tool| priced(&config.prices, tool)).collect();
    *tools = to_raw_value(&told).expect(PLAIN);
    Some(members)
}

const PLAIN: &str = "raw JSON can always be written";

#[derive(Deserialize, Default)]
struct Named {
    #[serde(default)]
    name: Value,
}

/// The name of a tool; empty when it has none.
fn name_of(tool: &RawValue) -> String {
    let named: Named = serde_json::from_str(tool.get()).unwrap_or_default();
    named.name.as_str().unwrap_or_default().to_owned()
}

fn priced(prices: &PriceList, tool: &RawValue) -> Box<RawValue> {
    let Ok(mut members) = serde_json::from_str::<Members<Box<RawValue>>>(tool.get()) else {
        return tool.to_owned();
    };
    let name = name_of(tool);
    members.set_last("_pricing", to_raw_value(&prices.pricing(&name)).expect(PLAIN));
    to_raw_value(&members).expect(PLAIN)
}

/// Asks the servers for all their tools and keeps the names.
pub(crate) async fn discover(app: Arc<App>) {
    let asked = app.backend.servers().into_iter().map(async |(prefix, server)| {
        let names = names_of(server).await.unwrap_or_default();
        match prefix {
            Some(prefix) => names.iter().map(|name| under_prefix(prefix, name)).collect(),
            None => names,
        }
    });
    let names = join_all(asked).await.concat();
    if !names.is_empty() {
        *app.news.tools.write() = names;
    }
    app.discovery.0.send_replace(true);
}

/// The names of a server's tools, page by page. `None` when it does not tell them.
async fn names_of(server: &Wrapped) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        tools: Vec<Named>,
        next_cursor: Option<String>,
    }
    #[derive(Serialize)]
    struct Params {
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    }
    let mut names = Vec::new();
    let mut cursors = HashSet::new();
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let request = Outgoing::request("tools/list", &Params { cursor });
        let answer = server.request(request).await;
        let answer =
            answer.inspect_err(|error| tracing::debug!(%error, "the tools of the server are not known"));
        let page = answer.ok()?.result().and_then(|result| serde_json::from_str::<Page>(result.get()).ok());
        let Some(page) = page else { break };
        names.extend(page.tools.iter().filter_map(|tool| tool.name.as_str().map(str::to_owned)));
        match page.next_cursor {
            Some(next) if cursors.insert(next.clone()) => cursor = Some(next),
            _ => break,
        }
    }
    Some(names)
}

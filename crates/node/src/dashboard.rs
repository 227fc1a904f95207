//! `getDashboardHtml`: the admin page of the HTTP server.

use crate::call::{Call, Value};

/// `dashboardHtml(serverName)`: the document.
pub(crate) fn html(call: &Call<'_>) -> Value {
    call.string(&paygate_server::dashboard_html(&call.given(0)))
}

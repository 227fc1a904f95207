//! Forgets what is old: calls that no rate window counts any more, events that the log has kept long enough,
//! sessions that nobody has used, and tokens that have expired.

use std::sync::Weak;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;

/// How often it is looked through.
const EVERY: Duration = Duration::from_secs(60);

/// Looks through all windows and the log every minute, as long as the server lives.
pub(crate) async fn what_is_old(app: Weak<App>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(app) = app.upgrade() else { return };
        // With a million keys this takes a while, in which other work goes on.
        let (ledger, audit) = (app.ledger().clone(), app.news.audit.clone());
        let (sessions, oauth) = (app.sessions.clone(), app.oauth.clone());
        drop(app);
        let swept = spawn_blocking(move || {
            ledger.limiter.sweep(ledger.now());
            audit.enforce_retention();
            sessions.sweep();
            oauth.iter().for_each(|oauth| oauth.sweep());
        })
        .await;
        swept.expect("forgetting what is old cannot fail");
    }
}

//! Forgets calls that no rate window counts any more.

use std::sync::Weak;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;

/// How often windows are looked through.
const EVERY: Duration = Duration::from_secs(60);

/// Looks through all windows every minute, as long as the server lives.
pub(crate) async fn rate_windows(app: Weak<App>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(app) = app.upgrade() else { return };
        // With a million keys this takes a while, in which other work goes on.
        let ledger = app.ledger().clone();
        drop(app);
        let swept = spawn_blocking(move || ledger.limiter.sweep(ledger.now())).await;
        swept.expect("forgetting what is old cannot fail");
    }
}

//! Says when the light client of an end comes near its end, and when it is fresh again: once, when
//! it turns. Between turns the metric and the status page show it.

use std::collections::BTreeMap;
use tombolo_adapter::ClientView;
use tombolo_relayer_core::End;
use tombolo_types::{UnixMillis, verifier::ClientStatus};

/// Where the clients of both ends of a link stood when they were last seen.
#[derive(Debug, Default)]
pub(crate) struct Trust(BTreeMap<End, ClientStatus>);

impl Trust {
    /// Logs where an end's client has turned; `now` is that end's own block time.
    pub(crate) fn seen(&mut self, link: &str, end: End, client: &ClientView, now: UnixMillis) {
        if self.0.insert(end, client.status).unwrap_or(ClientStatus::Active) == client.status {
            return;
        }
        let (end, height) = (end.name(), client.height.0);
        let left_s =
            client.newest_time.saturating_add(client.trusting_period_ms).since(now) / 1_000;
        match client.status {
            ClientStatus::Active => {
                tracing::info!(link, end, height, left_s, "light client is fresh again");
            }
            ClientStatus::Expiring => tracing::warn!(
                link,
                end,
                height,
                left_s,
                "light client was not refreshed for two thirds of its trusting period; see why \
                 nothing reaches this end before it expires"
            ),
            ClientStatus::Expired => {
                tracing::error!(
                    link,
                    end,
                    height,
                    "light client has expired; it must be recovered"
                );
            }
            ClientStatus::Frozen => {
                tracing::error!(link, end, height, "light client is frozen; it must be recovered");
            }
        }
    }
}

//! Keys are of one organisation: what is seen with one of who sees more with a session.

use super::caller::Caller;
use super::seen::NODE;
use super::world::World;
use reqwest::{Method, StatusCode};

impl World {
    /// Who sees all of B's, too, with a session, does not with a key for A.
    pub(super) async fn assert_keys_see_one_organisation(&self) {
        for (path, key) in [
            ("nodes?owner=self", Caller::AdminKey),
            ("nodes?owner=self", Caller::NodesKey),
            ("receipts", Caller::AdminKey),
            ("receipts", Caller::ReceiptsKey),
        ] {
            let all = path.split('?').next().unwrap_or(path);
            let all = self.read(Caller::Admin, all).await.to_string();
            assert!(all.contains("rig-of-b") && all.contains(NODE), "{path}");
            let seen = self.read_with(key, path).await.to_string();
            let sees_own_alone = seen.contains(NODE) && !seen.contains("rig-of-b");
            assert!(sees_own_alone, "{path} with {}: {seen}", key.name());
        }
        for key in [Caller::AdminKey, Caller::NodesKey] {
            let all = self.read_with(key, "nodes").await;
            let rows = all["items"].as_array().expect("rows");
            assert_eq!(rows.len(), 4, "{all}");
            for row in rows {
                let is_others = row["node_id"] == "rig-of-b";
                assert_eq!(row["withheld"], is_others, "{row}");
                assert_eq!(row["agent_version"].is_null(), is_others, "{row}");
            }
            // What a trimmed row does not show finds nothing in a key's hands either.
            let whose = self.request(Method::GET, "/api/v1/nodes?assignee=nobody");
            let whose = whose.bearer_auth(&self.keys[&key]).send().await;
            assert_eq!(whose.expect("an answer").status(), StatusCode::FORBIDDEN);
        }
    }
}

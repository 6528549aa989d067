//! What the hub hands to all sessions at once.
//!
//! An event is serialised once, when its batch is made, and its envelope is opened there too. To all who see it it is
//! the same text, but for the number at its end, which is each browser's own. A browser that is slow keeps no copy of
//! its own: it keeps the batch, which is everybody's.

use super::frame::{Opened, json};
use super::newest::OF_ORG;
use dgon_control_plane_store::Scope;
use serde::Serialize;

/// What a browser can ask for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize, utoipa::ToSchema,
)]
#[schema(as = live::Topic)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// The figures of the network.
    Summary,
    /// Nodes, and their heartbeats.
    Nodes,
    /// Receipts.
    Receipts,
}

/// One event.
#[derive(Debug)]
struct Item {
    topic: Topic,
    /// The org of the node that it is about; `None` for a node without one.
    org_id: Option<String>,
    frame: Opened,
}

impl Item {
    /// The summary is everybody's.
    fn is_for(&self, sight: Sight<'_>) -> bool {
        let is_shown = match self.topic {
            Topic::Summary => true,
            Topic::Nodes | Topic::Receipts => sight.scope.owns(self.org_id.as_deref()),
        };
        is_shown && sight.topics.contains(&self.topic)
    }
}

/// What a viewer may see, and of that what they asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight<'s> {
    pub(super) scope: &'s Scope,
    pub(super) topics: &'s [Topic],
}

/// What of a batch is in sight.
#[derive(Debug)]
pub(super) struct Seen<'b> {
    /// In the order in which they are sent.
    pub(super) frames: Vec<&'b Opened>,
    /// Receipts that were too many to be shown one by one.
    pub(super) receipts_left_out: u64,
}

/// Events in the order in which they are sent.
#[derive(Debug)]
pub(super) struct Batch {
    items: Vec<Item>,
    /// When it was made, unix ms.
    at_ms: i64,
    /// Events were lost before this batch: every session must read its state anew.
    pub(super) is_gap: bool,
    /// Receipts of each organisation that were too many to be shown one by one.
    receipts_left_out: Vec<(Option<String>, u64)>,
}

impl Batch {
    /// One without events.
    pub(super) fn new(
        at_ms: i64,
        is_gap: bool,
        receipts_left_out: Vec<(Option<String>, u64)>,
    ) -> Self {
        Self {
            items: Vec::new(),
            at_ms,
            is_gap,
            receipts_left_out,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Appends an event of a node of this organisation, or the summary, which is nobody's.
    pub(super) fn push(
        &mut self,
        (topic, kind): (Topic, &str),
        org_id: Option<String>,
        data: &impl Serialize,
    ) {
        self.items.push(Item {
            topic,
            org_id,
            frame: Opened::new(kind, &json(data), self.at_ms),
        });
    }

    /// What one viewer is told of it. Of many receipts these are the newest, however many organisations are in sight.
    pub(super) fn seen(&self, sight: Sight<'_>) -> Seen<'_> {
        let is_receipt = |item: &&Item| item.topic == Topic::Receipts;
        let in_sight: Vec<&Item> = self
            .items
            .iter()
            .filter(|item| item.is_for(sight))
            .collect();
        let receipts = in_sight.iter().copied().filter(is_receipt).count();
        let too_many = receipts.saturating_sub(OF_ORG);
        let mut to_skip = too_many;
        let mut is_skipped = |item: &&Item| {
            let is_skipped = to_skip > 0 && is_receipt(item);
            to_skip -= usize::from(is_skipped);
            is_skipped
        };
        let frames = in_sight.into_iter().filter(|item| !is_skipped(item));
        Seen {
            frames: frames.map(|item| &item.frame).collect(),
            receipts_left_out: match sight.topics.contains(&Topic::Receipts) {
                true => self.left_out(sight.scope) + too_many as u64,
                false => 0,
            },
        }
    }

    /// How many receipts in scope were left out when the batch was made.
    fn left_out(&self, scope: &Scope) -> u64 {
        let in_scope = self.receipts_left_out.iter();
        let in_scope = in_scope.filter(|(org_id, _)| scope.owns(org_id.as_deref()));
        in_scope.map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::hub::everybodys;
    use super::*;

    const ALL: [Topic; 3] = [Topic::Summary, Topic::Nodes, Topic::Receipts];

    fn of_org(org_id: &str) -> Scope {
        Scope::Organisation(org_id.to_owned())
    }

    /// The data of what is told, in its order.
    fn told(batch: &Batch, scope: &Scope, topics: &[Topic]) -> Vec<String> {
        let seen = batch.seen(Sight { scope, topics });
        let data = |frame: &&Opened| {
            let frame: serde_json::Value = serde_json::from_str(&frame.numbered(1)).expect("JSON");
            frame["data"].as_str().expect("a name").to_owned()
        };
        seen.frames.iter().map(data).collect()
    }

    #[test]
    fn of_one_batch_everybody_is_told_what_is_in_their_sight_and_in_its_order() {
        let mut batch = Batch::new(0, false, Vec::new());
        for (kind, name) in [
            ((Topic::Receipts, "receipt"), "receipt"),
            ((Topic::Nodes, "node"), "node"),
            ((Topic::Nodes, "heartbeat"), "beat"),
        ] {
            for org in [Some("a"), None, Some("b")] {
                let data = format!("{name} of {}", org.unwrap_or("none"));
                batch.push(kind, org.map(str::to_owned), &data);
            }
        }
        batch.push((Topic::Summary, "summary"), None, &"summary");
        let all = told(&batch, &everybodys(), &ALL);
        assert_eq!(all.len(), 10);
        assert_eq!(
            all[..4],
            [
                "receipt of a",
                "receipt of none",
                "receipt of b",
                "node of a"
            ]
        );
        assert_eq!(
            told(&batch, &of_org("b"), &ALL),
            ["receipt of b", "node of b", "beat of b", "summary"]
        );
        let own = Scope::Person("b".to_owned());
        assert_eq!(told(&batch, &own, &ALL), ["summary"]);
        assert_eq!(told(&batch, &of_org("c"), &ALL), ["summary"]);
        assert_eq!(told(&batch, &Scope::Stranger, &ALL), ["summary"]);
        let nodes = told(&batch, &of_org("a"), &[Topic::Nodes]);
        assert_eq!(nodes, ["node of a", "beat of a"]);
        assert!(told(&batch, &everybodys(), &[]).is_empty());
    }

    #[test]
    fn of_many_receipts_the_newest_in_sight_are_told_and_the_others_counted() {
        let before = [("a", 7), ("b", 9)].map(|(org, count)| (Some(org.to_owned()), count));
        let mut batch = Batch::new(0, false, before.to_vec());
        let kind = (Topic::Receipts, "receipt");
        for n in 0..OF_ORG {
            for org in ["a", "b"] {
                batch.push(kind, Some(org.to_owned()), &format!("{org}{n}"));
            }
        }
        let left_out =
            |scope: &Scope, topics| batch.seen(Sight { scope, topics }).receipts_left_out;
        assert_eq!(left_out(&of_org("a"), &ALL), 7);
        assert_eq!(left_out(&everybodys(), &ALL), 7 + 9 + OF_ORG as u64);
        assert_eq!(left_out(&everybodys(), &[Topic::Nodes]), 0);
        assert_eq!(left_out(&Scope::Stranger, &ALL), 0);
        let told = told(&batch, &everybodys(), &ALL);
        assert_eq!(told.len(), OF_ORG);
        assert_eq!(told[0], format!("a{}", OF_ORG / 2));
        assert_eq!(told[OF_ORG - 1], format!("b{}", OF_ORG - 1));
    }
}

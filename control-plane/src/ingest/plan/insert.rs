//! Which receipts become rows.

use super::{Insert, Place, Plan};
use crate::app::NodeSession;
use crate::ingest::Fate;
use crate::ingest::verify::Verified;
use dgon_protocol::chain::Link;

impl<'a> Plan<'a> {
    /// Appends to a chain. Its request id is new, as almost all are: what is stored shows at the insert.
    pub(super) fn append(
        &mut self,
        place: Option<Place>,
        node: &'a NodeSession,
        receipt: &'a Verified,
        link: Link,
    ) -> Fate {
        if self.taken.contains_key(&receipt.name()) {
            return self.conflict(node, receipt);
        }
        self.push(place, node, receipt, Some(link))
    }

    /// Inserts a receipt outside of the order of a chain, whose request id was looked up.
    pub(super) fn insert_new(
        &mut self,
        place: Option<Place>,
        node: &'a NodeSession,
        receipt: &'a Verified,
        link: Option<Link>,
    ) -> Fate {
        let (node_id, request_id) = receipt.name();
        let stored = self
            .requests
            .get(&(node_id.to_owned(), request_id.to_owned()));
        match self.taken.get(&receipt.name()).or(stored) {
            Some(hash) if *hash == receipt.entry_hash => Fate::Duplicate,
            Some(_) => self.conflict(node, receipt),
            None => self.push(place, node, receipt, link),
        }
    }

    pub(super) fn push(
        &mut self,
        place: Option<Place>,
        node: &'a NodeSession,
        receipt: &'a Verified,
        link: Option<Link>,
    ) -> Fate {
        self.taken.insert(receipt.name(), receipt.entry_hash);
        if let Some(link) = link {
            let hashes = (link.entry_hash, link.prev_hash);
            self.placed.insert((receipt.key, link.seq), hashes);
        }
        self.inserts.push(Insert {
            place,
            node,
            receipt,
            link,
        });
        Fate::Accepted
    }
}

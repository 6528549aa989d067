//! What every transaction of receipts passes, and what an acknowledgement says.

use crate::support::{SERVER, SOON, Server, ack, become_active};
use dgon_control_plane_store::Store;
use dgon_protocol::frame::{Control, ToAgent};
use dgon_protocol::receipt::Sha256Hash;
use dgon_testkit::fleet::SimReceipt;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// Collects the steps that transactions pass.
#[derive(Debug, Clone, Default)]
struct Steps(Arc<Mutex<Vec<String>>>);

impl Steps {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("steps"))
    }
}

impl<S: tracing::Subscriber> Layer<S> for Steps {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "dgon_control_plane::ingest::steps" {
            event.record(&mut &*self);
        }
    }
}

impl Visit for &Steps {
    fn record_str(&mut self, _: &Field, step: &str) {
        self.0.lock().expect("steps").push(step.to_owned());
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

/// The steps of each transaction.
fn transactions(steps: &[String]) -> Vec<&[String]> {
    let begun: Vec<usize> = (0..steps.len())
        .filter(|at| steps[*at] == "begun")
        .collect();
    let ends = begun.iter().skip(1).copied().chain([steps.len()]);
    begun
        .iter()
        .zip(ends)
        .map(|(from, to)| &steps[*from..to])
        .collect()
}

const ALL: [&str; 5] = ["begun", "epoch", "leaves", "event", "committed"];

/// Also where the database refuses a batch: halved, searched for the guilty receipt, stored without it.
#[tokio::test]
async fn every_transaction_passes_each_step_once_and_in_order() {
    let steps = Steps::default();
    let subscriber = tracing_subscriber::registry().with(steps.clone());
    let _collecting = tracing::subscriber::set_default(subscriber);
    let server = Server::start().await;
    let mut agents = Vec::new();
    for name in ["a", "b"] {
        let mut agent = server.agent(name).await;
        let mut link = agent.connect().await.expect("connect");
        become_active(&mut agent, &mut link).await;
        agents.push((agent, link));
    }
    let joined = steps.take();
    assert!(!joined.is_empty());
    for one in transactions(&joined) {
        assert_eq!(one, ALL);
    }
    let rule = "CREATE TRIGGER no_poison BEFORE INSERT ON receipts WHEN NEW.model_id = 'poison' \
                BEGIN SELECT RAISE(ABORT, 'no poison here'); END";
    let inspect = server.app.store.inspect();
    inspect.execute(rule).await.expect("rule");
    // Both wait for one transaction.
    let writing = server.app.store.ingest_begin(SERVER).await.expect("begin");
    for (agent, link) in &mut agents {
        let receipts: Vec<SimReceipt> = (0..4)
            .map(|number| {
                let poisoned = number == 2 && agent.node_id.as_str() == "b";
                let made = agent.next_receipt_with(|draft| {
                    if poisoned {
                        "poison".clone_into(&mut draft.model_id);
                    }
                });
                made.expect("receipt")
            })
            .collect();
        link.send_receipts(&receipts).await.expect("send");
    }
    let mut links: Vec<_> = agents
        .iter_mut()
        .map(|(agent, link)| (&*agent, link))
        .collect();
    server.until_heard(&mut links).await;
    drop(writing);
    for (agent, link) in &mut agents {
        assert_eq!(ack(link, agent.head.seq).await.acked_seq, agent.head.seq);
    }
    let passed = steps.take();
    let (mut committed, mut rolled_back, mut refused) = (0, 0, 0);
    for one in transactions(&passed) {
        assert_eq!(*one, ALL[..one.len()], "{passed:?}");
        match one.len() {
            5 => committed += 1,
            4 => rolled_back += 1,
            // The database refused the rows.
            2 => refused += 1,
            other => panic!("ended after {other} steps: {passed:?}"),
        }
    }
    // Each node's part, of the guilty one without its receipt; tries for the search; the batch, its half, and tries.
    assert_eq!(committed, 2, "{passed:?}");
    assert!(rolled_back >= 1 && refused >= 3, "{passed:?}");
}

async fn an_acknowledged_receipt_is_a_leaf(server: Server) {
    let (mut agent, mut link) = server.active_agent("a").await;
    // A reader that shares nothing with the server.
    let reader = Store::open(server.database()).await.expect("open");
    for _ in 0..20 {
        let writing = server.app.store.ingest_begin(SERVER).await.expect("begin");
        let receipt = agent.next_receipt().expect("receipt");
        link.send_receipts([&receipt]).await.expect("send");
        server.until_heard(&mut [(&agent, &mut link)]).await;
        // On SQLite nothing can be written now: what is told after the receipt has come is no acknowledgement.
        let order = ToAgent::Control(Control::Resume);
        assert!(server.app.sessions.probe(&agent.node_id, order));
        let mut acked = false;
        link.until(SOON, |frame| {
            acked |= matches!(frame, ToAgent::Ack(ack) if ack.acked_seq >= receipt.seq);
            matches!(frame, ToAgent::Control(_)).then_some(())
        })
        .await
        .expect("the order");
        let is_held = server.database().starts_with("sqlite:");
        assert!(!(is_held && acked), "acknowledged before the commit");
        drop(writing);
        if !acked {
            ack(&mut link, receipt.seq).await;
        }
        let leaves = reader.inspect().leaves(&agent.node_id).await.expect("read");
        let (_, seq, hash, entry) = leaves.last().expect("a leaf");
        assert_eq!(u64::try_from(*seq).ok(), Some(receipt.seq));
        assert_eq!(entry, &receipt.signed.entry_bytes);
        assert_eq!(hash.as_slice(), Sha256Hash::of(entry).0);
    }
    reader.close().await;
    server.stop().await;
}

#[tokio::test]
async fn an_acknowledged_receipt_is_a_leaf_on_sqlite() {
    an_acknowledged_receipt_is_a_leaf(Server::start().await).await;
}

#[tokio::test]
async fn an_acknowledged_receipt_is_a_leaf_on_postgres() {
    an_acknowledged_receipt_is_a_leaf(Server::start_on_postgres().await).await;
}

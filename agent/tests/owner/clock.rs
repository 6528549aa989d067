//! Clocks that jump under the real program. `libfaketime` lies to it about the wall clock; the monotonic clock stays.

use crate::node::Node;
use crate::support::machine::SECRET;
use dgon_agent::mode::Mode;
use dgon_agent::spool::view::View;
use dgon_protocol::frame::PausedReason;
use dgon_protocol::id::NodeId;
use dgon_protocol::receipt::Receipt;
use dgon_testkit::link_server::{Script, StubControlPlane};
use dgon_testkit::programs::false_clock;
use dgon_testkit::runtime::{Kind, SimConfig};
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const DAY_S: i64 = 24 * 3600;

/// A node whose wall clock goes as a file says: `@2026-01-01 12:00:00` is that time when the program began.
struct Lied {
    node: Node,
    file: PathBuf,
}

impl Lied {
    fn prepared(yaml: &str, zone: &str) -> Self {
        let mut node = Node::new(yaml);
        let file = node.machine.dir.path().join("time");
        let lies = false_clock(&file).unwrap();
        node.machine.set("TZ", zone.to_owned());
        for (name, value) in lies {
            node.machine.set(name, value);
        }
        Self { node, file }
    }

    async fn start(yaml: &str, time: &str, zone: &str) -> Self {
        let mut this = Self::prepared(yaml, zone);
        this.say(time);
        this.run().await;
        this
    }

    async fn run(&mut self) {
        self.node.with_runtime().await;
        self.node.start();
        self.node
            .until(|status| status.runtimes.iter().any(|runtime| runtime.ready))
            .await;
    }

    fn say(&mut self, time: &str) {
        std::fs::write(&self.file, format!("{time}\n")).unwrap();
    }

    async fn chat(&mut self) {
        let proxy = self.node.until(|_| true).await.proxy;
        assert_eq!(self.node.chat(&proxy).await, 200);
    }

    /// Start and end of every receipt, oldest first.
    fn receipts(&self) -> Vec<(i64, i64)> {
        let view = View::of(&self.node.machine.state.spool_dir());
        let mut found: Vec<(i64, i64)> = view
            .newest(1_000)
            .unwrap()
            .iter()
            .map(|stored| {
                let receipt = Receipt::parse(&stored.entry_bytes).unwrap();
                (receipt.fields.ts_start, receipt.fields.ts_end)
            })
            .collect();
        found.reverse();
        found
    }
}

#[tokio::test]
async fn receipts_and_the_days_count_survive_a_clock_that_jumps() {
    let home = "@2026-06-10 12:00:00";
    let mut lied = Lied::start("", home, "UTC").await;
    lied.chat().await;
    for jump in [
        "@2026-06-13 12:00:00",
        "@2026-06-08 12:00:00",
        home,
        "@2027-06-10 12:00:00",
        home,
    ] {
        lied.say(jump);
        lied.chat().await;
    }
    lied.chat().await;
    let receipts = lied.receipts();
    assert_eq!(receipts.len(), 7);
    assert!(
        receipts.iter().all(|(start, end)| end >= start),
        "{receipts:?}"
    );
    let days: Vec<i64> = receipts.iter().map(|(start, _)| start / DAY_S).collect();
    let today = 1_781_092_800 / DAY_S;
    let later = [0, 3, -2, 0, 365, 0, 0].map(|days| today + days);
    assert_eq!(days, later, "the lie works");

    // Back at home, the day has its four receipts and no other, before a restart and after it.
    for _ in 0..2 {
        let status = lied.node.until(|status| status.today.is_some()).await;
        assert_eq!(status.today.unwrap().receipts, 4);
        assert_eq!(status.spool.receipts_today, 4);
        assert_eq!((status.spool.last_seq, status.spool.depth), (7, 7));
        lied.node.restart().await;
    }
    lied.node
        .until(|status| status.runtimes.iter().any(|runtime| runtime.ready))
        .await;
    lied.chat().await;
    assert_eq!(lied.receipts().len(), 8);
}

#[tokio::test]
async fn a_clock_set_back_within_a_request_gives_no_receipt_that_ends_before_it_begins() {
    let mut lied = Lied::prepared("", "UTC");
    lied.say("@2026-06-10 12:00:00");
    // Its answer takes long enough for the clock to be set within it.
    let mut slow = SimConfig::new(Kind::Ollama);
    slow.ttft = Duration::from_secs(3);
    lied.node.with_runtime_like(slow).await;
    lied.node.start();
    let proxy = lied
        .node
        .until(|status| status.runtimes.iter().any(|runtime| runtime.ready))
        .await
        .proxy;
    let mut client = TcpStream::connect(proxy.trim_start_matches("http://"))
        .await
        .unwrap();
    let body = serde_json::json!({
        "model": "sim-chat:1b", "stream": false,
        "messages": [{"role": "user", "content": "hello"}],
    })
    .to_string();
    let request = format!(
        "POST /api/chat HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    lied.node.until_runtime_works().await;
    lied.say("@2026-06-09 12:00:00");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let [(start, end)] = lied.receipts()[..] else {
        panic!("one receipt: {:?}", lied.receipts())
    };
    assert_eq!(start / DAY_S, 1_781_092_800 / DAY_S);
    assert!(end >= start, "{start} to {end}");
}

#[tokio::test]
async fn quiet_hours_follow_the_local_clock_through_a_change_of_summer_time() {
    // Berlin puts its clocks from 02:00 to 03:00 on this morning.
    let yaml = "owner:\n  quiet_hours: [\"02:00-04:00\"]\n";
    let mut lied = Lied::start(yaml, "@2026-03-29 01:30:00", "Europe/Berlin").await;
    let status = lied
        .node
        .until(|status| !status.owner.limits.is_empty())
        .await;
    assert_eq!(status.owner.mode, Mode::Serving, "{:?}", status.owner);
    // The running agent notices; a started one knows at once.
    lied.say("@2026-03-29 03:00:05");
    lied.node
        .until(|status| status.owner.mode == Mode::Paused)
        .await;
    for (time, reasons) in [
        ("@2026-03-29 04:00:05", &[][..]),
        // And back in autumn: the hour from 02:00 comes twice, and is quiet twice.
        ("@2026-10-25 02:30:00", &[PausedReason::QuietHours][..]),
        ("@2026-10-25 04:00:00", &[]),
    ] {
        lied.say(time);
        lied.node.restart().await;
        let status = lied
            .node
            .until(|status| !status.owner.limits.is_empty())
            .await;
        assert_eq!(status.owner.reasons, reasons, "{time}");
    }
}

/// A clock that runs ahead of the monotonic one is what a machine that slept sees. The control plane is still there,
/// so the link stays, whichever way the clock was set.
#[tokio::test]
async fn a_link_that_is_alive_survives_a_clock_that_jumps() {
    let id = NodeId::parse("rig-7").unwrap();
    let script = Script {
        heartbeat_s: 1,
        ..Script::default()
    };
    let plane = StubControlPlane::start(id, &SECRET, script).await.unwrap();
    let mut lied = Lied::prepared("", "UTC");
    lied.say("+0");
    let api = format!("http://{}", plane.address());
    lied.node.machine.set("DGON_CONTROL_PLANE_API", api);
    lied.run().await;
    for (count, jump) in ["+2h", "-2h", "+400d", "+0"].into_iter().enumerate() {
        lied.say(jump);
        let heartbeats = plane.seen().heartbeats;
        lied.chat().await;
        // Past the next look at the clocks, which comes every five seconds.
        let seen = plane
            .until(|seen| seen.heartbeats >= heartbeats + 7)
            .await
            .unwrap();
        assert_eq!(seen.receipts.len(), count + 1, "after {jump}");
        assert_eq!((seen.sessions, seen.connected), (1, true), "after {jump}");
        assert_eq!(seen.violations, Vec::<String>::new());
    }
    let status = lied.node.until(|status| status.spool.depth == 0).await;
    assert_eq!(status.spool.last_seq, 4);
}

//! Who gets room, and when.

use super::*;
use dgon_protocol::key::NodeKey;
use futures_util::FutureExt as _;
use std::future::Future;
use std::pin::Pin;

const MIB: usize = 1024 * 1024;

fn node(name: &str, org_id: Option<&str>) -> NodeSession {
    NodeSession {
        node_id: NodeId::parse(name).expect("id"),
        region: String::new(),
        org_id: org_id.map(str::to_owned),
        key_org_id: org_id.map(str::to_owned),
        node_key_id: 1,
        public_key: NodeKey::from_seed(&[1; 32]).public(),
        former: Vec::new(),
        head_seq: 0,
        session_id: None,
    }
}

type Pending<'a> = Pin<Box<dyn Future<Output = Result<Reserved, IngestError>> + Send + 'a>>;

/// A piece that waits: it was asked for, and not given.
fn waits<'a>(room: &'a Arc<Room>, node: &'a NodeSession, bytes: usize) -> Pending<'a> {
    let mut asked: Pending<'a> = Box::pin(room.reserve(node, bytes, Full::Wait));
    assert!((&mut asked).now_or_never().is_none(), "it should wait");
    asked
}

fn given(room: &Arc<Room>, node: &NodeSession, bytes: usize) -> Reserved {
    let asked = room.reserve(node, bytes, Full::Wait).now_or_never();
    asked.expect("it should not wait").expect("room")
}

fn comes(asked: &mut Pending<'_>) -> Option<Reserved> {
    asked.now_or_never().map(|got| got.expect("room"))
}

/// So much that the piece takes whole MiB.
const fn mib(count: usize) -> usize {
    count * MIB - 1
}

#[test]
fn a_node_holds_its_part_and_no_more() {
    let room = Room::new();
    let (greedy, calm) = (node("greedy", None), node("calm", None));
    let first = given(&room, &greedy, mib(1));
    let _second = given(&room, &greedy, mib(1));
    let mut third = waits(&room, &greedy, mib(1));
    let refused = room.reserve(&greedy, 1, Full::RefuseOwn).now_or_never();
    assert_eq!(refused.expect("at once").err(), Some(IngestError::Busy));
    // Others are not behind it.
    let _others = given(&room, &calm, mib(1));
    drop(first);
    assert!(comes(&mut third).is_some());
}

#[test]
fn one_large_body_passes_alone() {
    let room = Room::new();
    let large = node("large", None);
    let body = given(&room, &large, 4 * MIB);
    let refused = room.reserve(&large, 1, Full::RefuseOwn).now_or_never();
    assert_eq!(refused.expect("at once").err(), Some(IngestError::Busy));
    drop(body);
    assert!(room.lock().nodes.is_empty(), "nothing is remembered");
}

#[test]
fn whoever_sent_little_is_served_before_all_who_sent_much() {
    let room = Room::with_kib(64 * 1024);
    let nodes: Vec<NodeSession> = (0..64).map(|n| node(&format!("n{n}"), None)).collect();
    let mut held: Vec<Reserved> = nodes
        .iter()
        .map(|node| given(&room, node, mib(1)))
        .collect();
    let mut line: Vec<Pending<'_>> = nodes
        .iter()
        .map(|node| waits(&room, node, mib(1)))
        .collect();
    let honest = node("honest", None);
    let mut small = waits(&room, &honest, 1000);
    held.pop();
    let first = comes(&mut small);
    assert!(
        first.is_some(),
        "the first room that comes free is for the small one"
    );
    assert!(line.iter_mut().all(|asked| comes(asked).is_none()));
}

#[test]
fn a_large_piece_is_not_passed_by_small_ones_for_ever() {
    let room = Room::with_kib(4 * 1024);
    let (a, b, c) = (node("a", None), node("b", None), node("c", None));
    let first = given(&room, &a, mib(2));
    let second = given(&room, &b, mib(2));
    let mut large = waits(&room, &c, mib(3));
    // Later, and small, but its node has had its share.
    let mut small = waits(&room, &a, 1);
    drop(first);
    assert!(comes(&mut small).is_none());
    drop(second);
    assert!(comes(&mut large).is_some());
    assert!(comes(&mut small).is_some());
}

#[test]
fn an_organisation_does_not_take_all() {
    let room = Room::new();
    let nodes: Vec<NodeSession> = (0..33)
        .map(|n| node(&format!("n{n}"), Some("greedy")))
        .collect();
    let mut held: Vec<Reserved> = nodes[..32]
        .iter()
        .map(|node| given(&room, node, mib(2)))
        .collect();
    let mut next = waits(&room, &nodes[32], mib(2));
    let other = node("other", Some("calm"));
    let _others = given(&room, &other, mib(1));
    held.pop();
    assert!(comes(&mut next).is_some());
}

#[test]
fn who_gives_up_takes_no_room_with_him() {
    let room = Room::with_kib(1024);
    let (a, b) = (node("a", None), node("b", None));
    let all = given(&room, &a, mib(1));
    let given_up = waits(&room, &b, mib(1));
    drop(given_up);
    let sent_and_not_taken = waits(&room, &b, mib(1));
    drop(all);
    drop(sent_and_not_taken);
    let state = room.lock();
    assert_eq!(state.free_kib, 1024);
    assert!(state.nodes.is_empty() && state.waiting.is_empty());
}

#[test]
fn within_a_full_organisation_small_pieces_do_not_overtake_a_large_one_for_ever() {
    let room = Room::new();
    let of_org = |name: String| node(&name, Some("o"));
    let nodes: Vec<NodeSession> = (0..32).map(|n| of_org(format!("n{n}"))).collect();
    let mut held: Vec<Reserved> = nodes
        .iter()
        .flat_map(|node| [given(&room, node, mib(1)), given(&room, node, mib(1))])
        .collect();
    let (large, small) = (of_org("large".to_owned()), of_org("small".to_owned()));
    let mut large = waits(&room, &large, mib(2));
    let mut small = waits(&room, &small, mib(1));
    // Others are not behind either.
    let _other = given(&room, &node("other", Some("p")), mib(1));
    held.pop();
    assert!(comes(&mut small).is_none());
    held.pop();
    let _large = comes(&mut large).expect("its turn");
    assert!(comes(&mut small).is_none());
    held.pop();
    assert!(comes(&mut small).is_some());
}

#[test]
fn who_gives_up_waiting_does_not_pay_for_it() {
    let room = Room::with_kib(2 * 1024);
    let (busy, calm) = (node("busy", None), node("calm", None));
    let first = given(&room, &busy, mib(2));
    for _ in 0..100 {
        drop(waits(&room, &calm, mib(2)));
    }
    let mut again = waits(&room, &busy, mib(2));
    let mut calm = waits(&room, &calm, mib(2));
    drop(first);
    assert!(comes(&mut again).is_none());
    assert!(comes(&mut calm).is_some());
}

#[test]
fn as_much_as_there_is_room_for_waits_and_no_more() {
    let room = Room::new();
    let of = |name: String, org: &str| node(&name, Some(org));
    let nodes: Vec<NodeSession> = (0..64).map(|n| of(format!("n{n}"), "o")).collect();
    let _held: Vec<Reserved> = nodes
        .iter()
        .map(|node| given(&room, node, mib(1)))
        .collect();
    let waiting: Vec<Pending<'_>> = nodes
        .iter()
        .map(|node| waits(&room, node, mib(1)))
        .collect();
    let beyond = of("beyond".to_owned(), "o");
    let refused = room.reserve(&beyond, mib(1), Full::Wait).now_or_never();
    assert_eq!(refused.expect("at once").err(), Some(IngestError::NoRoom));
    let _other = given(&room, &of("other".to_owned(), "p"), mib(1));
    drop(waiting);
    drop(waits(&room, &beyond, mib(1)));
    assert_eq!(room.lock().waiting_kib, 0);
    assert_eq!(room.lock().orgs["o"].waiting, 0);
}

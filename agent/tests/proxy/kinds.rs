//! Every kind of runtime behind the proxy, simulated: cancel reaches it, overload and failure pass as its own.

use super::load::{path_and_kind, request};
use super::support::*;
use dgon_agent_core::facts::Failure;
use dgon_protocol::receipt::Status;
use dgon_testkit::runtime::{Faults, Kind, SimConfig, SimRuntime};
use std::sync::Arc;

async fn behind(config: SimConfig) -> (SimRuntime, Arc<MemorySink>, Running, String) {
    let (kind, model) = (config.kind, config.model().to_owned());
    let sim = SimRuntime::start(config).await.unwrap();
    let sink = MemorySink::open();
    let found = vec![runtime(path_and_kind(kind).0, sim.addr(), &model)];
    let running = proxy(found, &sink).await;
    (sim, sink, running, request(kind, &model, 7))
}

async fn until(what: impl Fn() -> bool) {
    soon(async {
        while !what() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_work() {
    for kind in Kind::ALL {
        let mut config = SimConfig::new(kind);
        config.faults.stall_after = Some(3);
        config.answer_tokens = Some(100);
        let (sim, sink, running, body) = behind(config).await;
        let mut client = Client::connect(running.addr).await;
        client.post(path_and_kind(kind).1, &body).await;
        until(|| sim.stats().running == 1).await;
        client.until("HTTP/1.1 200").await;
        drop(client);
        until(|| sim.stats().cancelled == 1).await;
        assert_eq!(sim.stats().running, 0, "{kind}");
        let facts = sink.only().await;
        assert_eq!(
            (facts.status, facts.failure),
            (Status::Cancelled, None),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn overload_is_told_as_the_runtime_tells_it() {
    for kind in Kind::ALL {
        let mut config = SimConfig::new(kind);
        (config.parallel, config.queue_limit) = (1, Some(0));
        config.faults.stall_after = Some(1);
        let (sim, sink, running, body) = behind(config).await;
        let path = path_and_kind(kind).1;
        let mut hanging = Client::connect(running.addr).await;
        hanging.post(path, &body).await;
        until(|| sim.stats().running == 1).await;
        let reply = ask(running.addr, path, &body).await;
        assert_eq!(sim.stats().overloaded, 1, "{kind}");
        let said = sim.exchanges().pop().unwrap();
        assert_eq!(
            (reply.status, &reply.body),
            (said.status, &said.sent),
            "{kind}"
        );
        let facts = sink.only().await;
        let failure = if reply.status == 200 {
            Failure::UpstreamError
        } else {
            Failure::UpstreamStatus
        };
        assert_eq!(
            (facts.status, facts.failure),
            (Status::Error, Some(failure)),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_fails_half_way_is_no_success() {
    for kind in Kind::ALL {
        for faults in [
            Faults {
                error_after: Some(4),
                ..Faults::default()
            },
            Faults {
                disconnect_after: Some(4),
                ..Faults::default()
            },
            Faults {
                truncate_after: Some(4),
                ..Faults::default()
            },
        ] {
            if kind == Kind::Triton && faults.truncate_after.is_some() {
                // Its streams have no end but the end of the body: a short one cannot be told.
                continue;
            }
            let mut config = SimConfig::new(kind);
            config.answer_tokens = Some(20);
            config.faults = faults.clone();
            let (sim, sink, running, body) = behind(config).await;
            let reply = ask(running.addr, path_and_kind(kind).1, &body).await;
            assert_eq!(reply.status, 200, "{kind} {faults:?}");
            assert_eq!(reply.body, sim.exchanges()[0].sent, "{kind} {faults:?}");
            let facts = sink.only().await;
            assert_eq!(facts.status, Status::Error, "{kind} {faults:?}");
            assert!(
                matches!(
                    facts.failure,
                    Some(Failure::Incomplete | Failure::UpstreamError)
                ),
                "{kind} {faults:?}: {:?}",
                facts.failure
            );
        }
    }
}

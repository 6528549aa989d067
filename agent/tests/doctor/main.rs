//! The doctor through the real binary: every check is made to fail, and its printed fix is followed.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod agent_group;
mod bundle;
mod case;
mod docs;
mod faults;
mod machine_groups;
mod net;
mod network;
mod plane;
mod runtime;
mod service;
mod whole;

use case::Case;
use dgon_agent::doctor::CheckId;

/// Checks that need a name space of their own, and so a test of their own:
/// `machine_groups::a_full_disk_is_found_and_room_is_noticed` and `service::the_service_is_examined_and_mended`.
const OWN_TESTS: [CheckId; 5] = [
    CheckId::DiskFree,
    CheckId::ServiceInstalled,
    CheckId::ServiceEnabled,
    CheckId::ServiceRunning,
    CheckId::ServiceVersion,
];

/// All cases of all groups.
fn all() -> Vec<Case> {
    [
        machine_groups::CASES,
        network::CASES,
        plane::CASES,
        runtime::CASES,
        agent_group::CASES,
    ]
    .concat()
}

#[test]
fn every_check_has_a_case_that_makes_it_fail() {
    let cases = all();
    for id in CheckId::ALL {
        assert!(
            OWN_TESTS.contains(id) || cases.iter().any(|(covered, ..)| covered == id),
            "no case makes {} fail",
            id.as_str()
        );
    }
}

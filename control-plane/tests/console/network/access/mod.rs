//! Who sees and changes what: every route of the document, and the addresses beside it, called by everybody there is,
//! over a network where one organisation has something to lose. `tests/golden/access.txt` says what each is answered.
//!
//! | to add | where |
//! |---|---|
//! | a route | `table`: what fills its path and its body; then write the golden list anew and read the difference |
//! | a caller | `caller::Caller`: strangers before those who may change what is there |
//! | a kind of object | `world`: make it before the sweep, and look at it in `World::look`; `seen`: what of it is private |

mod caller;
mod keys;
mod seen;
mod table;
mod world;

use super::on_both;
use caller::Caller;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use table::{Route, routes};
use world::World;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/access.txt");
const WRITE: &str =
    "DGON_GOLDEN=write cargo nextest run -p dgon-control-plane --test console access";

const HEAD: &str = "\
# Who is answered what. A line is a route, then each caller with the status and what of organisation A is in the answer:
# whole     with what is private to A, such as a receipt, a token, the version of its agent
# trimmed   A's node by its name alone, or what everybody may know of it
# N items   of a page or of a sum; a page of trimmed rows says so
# -         nothing
# Callers: anonymous has both public flags on, for everybody else they are off; shut is nobody known. Viewer, consumer,
# own operator and admin belong to A, other operator and other node to B. A key is a program's: the one of the same name has
# that scope alone and is own operator's, rest has all scopes that no route needs and is admin's, those of consumer, other
# and admin have every scope of a route that they can give.
# A line with (public) is of a route that a flag opens: who is signed in and answered otherwise while both flags are on.
# Nobody who is signed in sees less than anonymous then, nor does a key where it may be used.
";

/// What the calls came to.
struct Found {
    /// What each caller was answered, for each route.
    answers: Vec<Vec<(Caller, String)>>,
    /// The same of who is signed in, for what is read, with both public flags on.
    open: Vec<Vec<(Caller, String)>>,
    /// What was changed by callers who may change nothing.
    broken: Vec<String>,
}

#[tokio::test]
async fn every_route_answers_each_caller_as_agreed() {
    let routes = routes();
    let is_writing = std::env::var("DGON_GOLDEN").is_ok_and(|value| value == "write");
    if !is_writing {
        assert_listed(&routes);
    }
    on_both(|network| async {
        let found = Box::pin(sweep(network, &routes)).await;
        found.assert_nobody_sees_less_than_strangers(&routes);
        let names: Vec<String> = routes.iter().map(Route::to_string).collect();
        let public: Vec<String> = names
            .iter()
            .map(|name| format!("{name} (public)"))
            .collect();
        let text = HEAD.to_owned()
            + &lines(&names, &found.answers)
            + &lines(&public, &found.otherwise_while_open());
        let agreed = if is_writing { text.clone() } else { golden() };
        assert_as_agreed(&agreed, &text, &found.broken);
        if is_writing {
            std::fs::write(GOLDEN, text).expect("write the golden list");
        }
    })
    .await;
}

/// All calls: first of those who may change nothing of A's, then of those who may.
async fn sweep(network: super::Network, routes: &[Route]) -> Found {
    let mut world = Box::pin(World::of(network)).await;
    let mut found = Found {
        answers: routes.iter().map(|_| Vec::new()).collect(),
        open: routes.iter().map(|_| Vec::new()).collect(),
        broken: Vec::new(),
    };
    world.assert_keys_see_one_organisation().await;
    let mut before = world.look().await;
    for caller in Caller::ALL {
        // Before they change anything.
        if caller.is_signed_in() {
            world.open_to_all(true).await;
            for (route, of_route) in routes.iter().zip(&mut found.open) {
                if route.method == "GET" {
                    of_route.push((caller, world.call(caller, route).await));
                }
            }
        }
        world.open_to_all(caller == Caller::Anonymous).await;
        for (route, of_route) in routes.iter().zip(&mut found.answers) {
            of_route.push((caller, world.call(caller, route).await));
        }
        if caller.owns_nothing() {
            let after = world.look().await;
            for (object, now) in &after {
                if before[object] != *now {
                    let changed = format!("{} changed {object}: {now}", caller.name());
                    found.broken.push(changed);
                }
            }
            before = after;
        }
    }
    found
}

impl Found {
    /// Who is signed in is shown what a stranger is shown, if not more; a program where its key may be used.
    fn assert_nobody_sees_less_than_strangers(&self, routes: &[Route]) {
        for ((route, answers), open) in routes.iter().zip(&self.answers).zip(&self.open) {
            let (_, strangers) = answers
                .iter()
                .find(|(caller, _)| *caller == Caller::Anonymous)
                .expect("a stranger's answer");
            for (caller, theirs) in open {
                let is_refused = theirs.starts_with("403") && KEYS.contains(&caller.name());
                assert!(
                    is_refused || seen::is_no_less(theirs, strangers),
                    "{route}: a stranger has `{strangers}` and {} `{theirs}`",
                    caller.name()
                );
            }
        }
    }

    /// For each route that a flag opens, who is answered otherwise while both are on.
    fn otherwise_while_open(&self) -> Vec<Vec<(Caller, String)>> {
        let routes = self.open.iter().zip(&self.answers);
        let others = routes.map(|(open, shut)| {
            let of = |caller| {
                shut.iter()
                    .find(|(one, _)| *one == caller)
                    .map(|one| &one.1)
            };
            let is_opened = of(Caller::Anonymous) != of(Caller::Shut);
            let others = open
                .iter()
                .filter(|answer| is_opened && !shut.contains(answer));
            others.cloned().collect()
        });
        others.collect()
    }
}

/// Programs, by name.
const KEYS: [&str; 8] = [
    "rest key",
    "consumer key",
    "other key",
    "receipts key",
    "nodes key",
    "enrolment key",
    "control key",
    "admin key",
];

/// One line per route that somebody called; callers with the same answer stand together.
fn lines(routes: &[String], answers: &[Vec<(Caller, String)>]) -> String {
    let mut text = String::new();
    for (route, answers) in routes.iter().zip(answers) {
        if answers.is_empty() {
            continue;
        }
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for (caller, answer) in answers {
            match groups.iter_mut().find(|(same, _)| same == answer) {
                Some((_, callers)) => callers.push(caller.name()),
                None => groups.push((answer, vec![caller.name()])),
            }
        }
        write!(text, "{route}").expect("text");
        for (answer, mut callers) in groups {
            if KEYS.iter().all(|key| callers.contains(key)) {
                callers.retain(|name| !KEYS.contains(name));
                callers.push("all keys");
            }
            write!(text, " | {}: {answer}", callers.join(", ")).expect("text");
        }
        text.push('\n');
    }
    text
}

fn golden() -> String {
    std::fs::read_to_string(GOLDEN).expect("the golden list")
}

/// Nothing is called before somebody decided who may.
fn assert_listed(routes: &[Route]) {
    let golden = golden();
    let listed: BTreeSet<&str> = golden
        .lines()
        .filter_map(|line| line.split(" | ").next())
        .collect();
    let missing: Vec<String> = routes
        .iter()
        .map(Route::to_string)
        .filter(|route| !listed.contains(route.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "nobody has said yet who may call {missing:?}. Say in tests/console/network/access/table.rs what its path and \
         body hold, make what it shows in world.rs, run `{WRITE}`, and read what it wrote to tests/golden/access.txt: \
         does each caller see what they should?"
    );
}

fn assert_as_agreed(agreed: &str, found: &str, broken: &[String]) {
    let [then, now]: [BTreeSet<&str>; 2] = [agreed, found].map(|text| text.lines().collect());
    let gone: Vec<&str> = then.difference(&now).copied().collect();
    let new: Vec<&str> = now.difference(&then).copied().collect();
    assert!(
        broken.is_empty() && gone.is_empty() && new.is_empty(),
        "somebody sees or may do what tests/golden/access.txt does not say.\nchanged by strangers:\n{}\nagreed:\n{}\n\
         now:\n{}\nWhere the answers are meant: {WRITE}",
        broken.join("\n"),
        gone.join("\n"),
        new.join("\n")
    );
}

//! How soon people and nodes are answered while strangers guess passwords, read, and try keys and tokens, beside the
//! same quiet: each attack has a quiet time of its own right before it, by turns in one run against one server, and of the
//! rounds the middle one counts. How far the quiet times lie apart says what the figures are worth on a busy machine.
//!
//! The strangers have a process of their own, and a low priority: the machines of real ones are not ours. They come from
//! thousands of addresses by a proxy that the server trusts, which is this machine.

use crate::programs::{Place, Program};
use crate::report::{Report, Row, median, quantile};
use anyhow::{Context as _, Result, bail, ensure};
use dgon_testkit::fleet::{Enrol, SimAgent};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How long each time lasts, and how often each comes.
const SECONDS: u64 = 8;
const ROUNDS: usize = 3;
/// What a run of the strangers takes beside that, s: they must outlast it.
const AROUND_S: u64 = 3;
/// Requests per second of all strangers, and their addresses.
const RATE: u32 = 300;
const ADDRESSES: u32 = 4_000;
/// The part of the rate that they must reach.
const LEAST: f64 = 0.9;
/// People, who sign in by turns: each may so often in an hour. Two more stay signed in and read.
const PEOPLE: usize = 20;
const NODES: usize = 6;
const PASSWORD: &str = "correct horse battery staple";
/// The attacks, as `dgon-sim strangers` calls them, and what they are.
const AIMS: [(&str, &str); 4] = [
    ("one-account", "guesses of one password"),
    ("many-accounts", "guesses of many passwords"),
    ("reads", "anonymous reads"),
    ("junk", "false keys, nodes, tokens and codes"),
];
/// The goal.
const GOAL: f64 = 2.0;

/// What honest callers do, and how often each does it.
const CALLS: [(&str, Duration); 4] = [
    ("sign-in", Duration::from_millis(150)),
    ("GET /nodes", Duration::from_millis(15)),
    ("GET /users/me", Duration::from_millis(15)),
    ("POST /receipts", Duration::from_millis(60)),
];

/// A person who has signed in here before.
struct Person {
    email: String,
    address: String,
    cookies: String,
}

/// Honest callers.
struct Callers {
    http: Client,
    api: String,
    people: Vec<Person>,
    agents: Vec<SimAgent>,
}

impl Callers {
    async fn make(place: &Place) -> Result<Self> {
        let http = Client::builder().no_proxy().build()?;
        let api = format!("http://{}", place.api);
        let mut callers = Self {
            http,
            api,
            people: Vec::new(),
            agents: Vec::new(),
        };
        for number in 0..PEOPLE + 2 {
            let email = format!("honest-{number}@example.org");
            create(place, &email)?;
            let address = format!("203.0.113.{}", number + 1);
            let mut person = Person {
                email,
                address,
                cookies: String::new(),
            };
            let answer = callers.sign_in(&person).send().await?.error_for_status()?;
            let set = answer.headers().get_all("set-cookie").iter();
            let pairs = set.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
            person.cookies = pairs.collect::<Vec<_>>().join("; ");
            callers.people.push(person);
        }
        let token = place.token(u32::try_from(NODES)?)?;
        for _ in 0..NODES {
            let enrol = SimAgent::enrol(&callers.http, &callers.api, &token, Enrol::default());
            callers.agents.push(enrol.await?);
        }
        Ok(callers)
    }

    fn from(&self, address: &str, request: RequestBuilder) -> RequestBuilder {
        let request = request.header("origin", &self.api);
        request.header("x-forwarded-for", address)
    }

    fn sign_in(&self, person: &Person) -> RequestBuilder {
        let body = json!({"email": person.email, "password": PASSWORD});
        let url = format!("{}/api/v1/auth/login", self.api);
        let request = self.http.post(url).json(&body);
        // Of a session that lasts the browser needs nothing to begin another; that it is known it shows.
        let known = person.cookies.split("; ");
        let known = known
            .filter(|pair| pair.contains("dgon_browser="))
            .collect::<Vec<_>>();
        self.from(&person.address, request.header("cookie", known.join("; ")))
    }

    fn get(&self, person: &Person, path: &str) -> RequestBuilder {
        let request = self.http.get(format!("{}/api/v1{path}", self.api));
        let request = request.header("cookie", &person.cookies);
        self.from(&person.address, request)
    }

    fn receipt(&self, agent: &mut SimAgent) -> Result<RequestBuilder> {
        let receipt = agent.next_receipt()?;
        let body = receipt.text().to_owned();
        let path = "/api/v1/receipts";
        let mut request = self.http.post(format!("{}{path}", self.api));
        for (name, value) in agent.headers("POST", path, body.as_bytes())? {
            request = request.header(name, value);
        }
        Ok(self.from("203.0.113.200", request.body(body)))
    }

    /// All of them call for a while; the time of each call, ms, sorted, by [`CALLS`].
    async fn call(&mut self) -> Result<[Vec<f64>; 4]> {
        let mut agents = std::mem::take(&mut self.agents);
        let end = Instant::now() + Duration::from_secs(SECONDS);
        let calling = tokio::join!(
            self.times(end, 0, |number| Ok(
                self.sign_in(&self.people[number % PEOPLE])
            )),
            self.times(end, 1, |_| Ok(self.get(&self.people[PEOPLE], "/nodes"))),
            self.times(end, 2, |_| Ok(
                self.get(&self.people[PEOPLE + 1], "/users/me")
            )),
            self.times(end, 3, |number| self.receipt(&mut agents[number % NODES])),
        );
        self.agents = agents;
        Ok([calling.0?, calling.1?, calling.2?, calling.3?])
    }

    async fn times(
        &self,
        end: Instant,
        call: usize,
        mut request: impl FnMut(usize) -> Result<RequestBuilder>,
    ) -> Result<Vec<f64>> {
        let (what, every) = CALLS[call];
        let (mut times, mut ticks) = (Vec::new(), tokio::time::interval(every));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while Instant::now() < end {
            ticks.tick().await;
            let request = request(times.len())?;
            let begin = Instant::now();
            let answer = request.send().await?;
            let (status, text) = (answer.status(), answer.text().await?);
            times.push(begin.elapsed().as_secs_f64() * 1e3);
            if !status.is_success() {
                bail!("an honest {what} was answered {status}: {text}");
            }
        }
        times.sort_by(f64::total_cmp);
        Ok(times)
    }
}

/// Makes an admin with the password.
fn create(place: &Place, email: &str) -> Result<()> {
    let mut command = place.own_program("dgon-control-plane");
    command
        .args(["user", "create", "--role", "admin", "--password-stdin"])
        .args(["--email", email])
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut child = command.spawn()?;
    let mut input = child.stdin.take().context("a pipe was asked for")?;
    writeln!(input, "{PASSWORD}")?;
    drop(input);
    ensure!(child.wait()?.success(), "{email} was not made");
    Ok(())
}

/// Starts the strangers.
fn strangers(place: &Place, aim: &str, victim: &str) -> Result<Program> {
    let mut command = place.at_low_priority("dgon-sim");
    command
        .args(["strangers", "--aim", aim, "--email", victim])
        .args(["--api", &format!("http://{}", place.api)])
        .args(["--rate", &RATE.to_string()])
        .args(["--addresses", &ADDRESSES.to_string()])
        .args(["--duration", &(SECONDS + AROUND_S).to_string()]);
    Program::spawn(&mut command, &log(place, aim))
}

fn log(place: &Place, aim: &str) -> std::path::PathBuf {
    place.dir.path().join(format!("{aim}.log"))
}

/// What the strangers reached, requests per second.
///
/// # Errors
/// Some were not answered at all, or they asked far less than they were told to: the figures would be of another attack.
fn asked(told: &str) -> Result<f64> {
    let answered: BTreeMap<u16, u32> = serde_json::from_str(told)?;
    ensure!(!answered.contains_key(&0), "some were not answered");
    let all = f64::from(answered.values().sum::<u32>());
    let reached = all / (SECONDS + AROUND_S) as f64;
    ensure!(
        reached >= LEAST * f64::from(RATE),
        "they asked {reached:.0} times a second"
    );
    Ok(reached)
}

/// Anybody may make an account, so that strangers can try to.
async fn open_registration(callers: &Callers) -> Result<()> {
    let person = &callers.people[PEOPLE];
    let me = callers.get(person, "/users/me").send().await?;
    let me: Value = serde_json::from_str(&me.text().await?)?;
    let csrf = me["csrf_token"].as_str().context("a CSRF token")?;
    let url = format!("{}/api/v1/flags/open_registration", callers.api);
    let request = callers.from(&person.address, callers.http.put(url));
    let request = request.header("cookie", &person.cookies);
    let request = request.header("x-csrf-token", csrf);
    let answer = request.json(&json!({"enabled": true})).send().await?;
    answer.error_for_status()?;
    Ok(())
}

/// Measures each attack, on SQLite.
pub(crate) async fn measure(bin: &Path, report: &mut Report) -> Result<()> {
    let place = Place::new(bin)?;
    let url = format!("http://{}", place.api);
    let settings = [
        ("DGON_TRUSTED_PROXIES", "127.0.0.1"),
        ("DGON_PUBLIC_URL", url.as_str()),
    ];
    let bind = place.api.to_string();
    let arguments = ["serve", "--bind", bind.as_str()];
    let _control_plane = place.start("dgon-control-plane", &arguments, &settings, place.api)?;
    let mut callers = Callers::make(&place).await?;
    open_registration(&callers).await?;
    // By attack and call: the 99th percentiles of each round, quiet and beside.
    let mut quiet = vec![vec![Vec::new(); CALLS.len()]; AIMS.len()];
    let mut beside = quiet.clone();
    for round in 0..ROUNDS {
        for (attack, (aim, what)) in AIMS.iter().enumerate() {
            note(&mut quiet[attack], &callers.call().await?);
            let victim = &callers.people[round].email;
            let attackers = strangers(&place, aim, victim)?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            note(&mut beside[attack], &callers.call().await?);
            let file = log(&place, aim);
            tokio::task::block_in_place(|| attackers.ended(&file))?;
            let told = std::fs::read_to_string(&file)?;
            let reached = asked(told.trim()).with_context(|| format!("{what}: {told}"))?;
            report.note(format!(
                "{reached:.0}/s {what} were answered {}",
                told.trim()
            ));
        }
    }
    for (attack, (_, what)) in AIMS.iter().enumerate() {
        for (number, (call, _)) in CALLS.iter().enumerate() {
            let (alone, all) = (median(&quiet[attack][number]), &beside[attack][number]);
            let times = median(all) / alone;
            report.add(Row {
                what: format!("p99 of {call} beside {RATE}/s {what}, SQLite"),
                floor: format!("quiet {}", each(&quiet[attack][number])),
                ours: each(all),
                peer: String::new(),
                ratio: format!("{times:.2}×"),
                goal: format!("≤ {GOAL:.0}×"),
                reached: times <= GOAL,
            });
        }
    }
    Ok(())
}

/// Notes the 99th percentile of each call.
fn note(rounds: &mut [Vec<f64>], times: &[Vec<f64>; 4]) {
    for (round, times) in rounds.iter_mut().zip(times) {
        round.push(quantile(times, 0.99));
    }
}

/// The middle one, and all of them.
fn each(rounds: &[f64]) -> String {
    let all: Vec<String> = rounds.iter().map(|ms| format!("{ms:.0}")).collect();
    format!("{:.1} ms (each: {})", median(rounds), all.join(", "))
}

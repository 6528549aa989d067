//! What there is to see and to lose: organisation A with nodes, receipts, tokens and people, organisation B beside it,
//! and everybody who calls.

use super::caller::Caller;
use super::seen::{NODE, Private, TOKENS};
use super::table::{Ask, PACKAGE, Route, ask};
use crate::agents::SERVER;
use crate::documented::assert_documented;
use crate::network::{Network, OWN_ORG, machine};
use crate::server::{Server, Who};
use dgon_control_plane::accounts::{Accounts, Email, PasswordHasher};
use dgon_control_plane::http::HttpSettings;
use dgon_control_plane_store::Scope;
use dgon_control_plane_store::assignments::Assignment;
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::identities::{Identity, IdentityLinked};
use dgon_control_plane_store::memberships::NewMembership;
use dgon_control_plane_store::users::{NewUser, UserCreated};
use dgon_control_plane_store::wallets::WalletLinked;
use dgon_protocol::frame::ToControlPlane;
use dgon_protocol::id::NodeId;
use reqwest::{Method, RequestBuilder, StatusCode, header};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

pub(super) const OTHER_ORG: &str = "others";
/// Without people and nodes, to be named anew and closed.
pub(super) const SPARE_ORG: &str = "spare";
/// Of the organisation A: the node that everybody is after.
pub(super) const OWN: usize = 0;
/// Of the organisation B.
pub(super) const OTHER: usize = 1;
/// Of A, to be quarantined and retired.
pub(super) const SPARE: usize = 2;
/// Of A, to change its key.
pub(super) const SPARE_KEY: usize = 3;

/// Of A's operator, at an issuer that is not set here any more.
pub(super) const IDENTITY: &str = "identity-of-a";
pub(super) const ISSUER: &str = "issuer";
/// What A's private pool is called.
const POOL: &str = "pool-of-a";
/// Of A's operator.
pub(super) const WALLET: &str = "0x00000000000000000000000000000000000000A0";

/// A person who is signed in.
#[derive(Debug, Clone)]
struct Session {
    cookie: String,
    csrf: String,
}

/// The network, and what is A's in it.
pub(super) struct World {
    console: Server,
    accounts: Accounts,
    http: reqwest::Client,
    sessions: HashMap<Caller, Session>,
    /// Keys of programs, whole.
    pub(super) keys: HashMap<Caller, String>,
    private: Private,
    /// A receipt of A's node.
    pub(super) request_id: String,
    /// A private pool of A's, without nodes.
    pub(super) pool: String,
    /// A token that A's operator made.
    pub(super) token: String,
    /// More of them, for those who may revoke one.
    pub(super) spare_tokens: Vec<String>,
    /// Keys of A's operator by their ids: one that the sweep uses, and more for those who may revoke one.
    pub(super) own_keys: Vec<String>,
    pub(super) network: Network,
    _downloads: tempfile::TempDir,
}

impl World {
    pub(super) async fn of(mut network: Network) -> Self {
        nodes(&mut network).await;
        let downloads = tempfile::tempdir().expect("folder");
        std::fs::write(downloads.path().join(PACKAGE), "a package").expect("package");
        let settings = HttpSettings {
            sign_ins_per_minute: 10_000,
            downloads_dir: Some(downloads.path().to_owned()),
            ..HttpSettings::default()
        };
        let app = std::sync::Arc::clone(&network.server.app);
        let mut world = Self {
            accounts: Accounts::new(&app, PasswordHasher::default()),
            console: Server::over_with(app, settings).await,
            http: network.server.http.clone(),
            sessions: HashMap::new(),
            keys: HashMap::new(),
            private: Private(Vec::new()),
            request_id: network.sent[1].draft.request_id.to_string(),
            pool: String::new(),
            token: String::new(),
            spare_tokens: Vec::new(),
            own_keys: Vec::new(),
            network,
            _downloads: downloads,
        };
        let (store, audit) = (world.console.app.store.clone(), AuditEntry::default());
        for org_id in [OTHER_ORG, SPARE_ORG] {
            // That of a node is there already.
            let made = store
                .org_create(&SERVER.into(), org_id, org_id, &audit)
                .await;
            made.expect("org");
        }
        for caller in Caller::ALL {
            world.make_person(caller).await;
        }
        let operator = Scope::Person(Caller::OwnOperator.user_id());
        let sign_ins = store.session_list(&operator, audit.at_ms).await;
        let sign_in = sign_ins.expect("sign-ins").remove(0).family_id;
        let linked = store.wallet_link(&operator, ("evm", WALLET), &sign_in, &audit);
        assert_eq!(linked.await.expect("wallet"), WalletLinked::Linked);
        let identity = Identity {
            identity_id: IDENTITY.to_owned(),
            issuer: "https://issuer.example".to_owned(),
            subject: "subject-of-a".to_owned(),
            email: None,
            linked_at_ms: audit.at_ms,
        };
        let linked = store.identity_link(&operator, &identity, &sign_in, &audit);
        assert_eq!(linked.await.expect("identity"), IdentityLinked::Linked);
        let cares = (NODE, &*Caller::OwnOperator.user_id());
        let assigned = store.node_assign(&SERVER.into(), cares, &audit).await;
        assert_eq!(assigned.expect("assignment"), Assignment::Changed);
        world.pool = world.make_pool().await;
        world.token = world.make_token().await;
        world.spare_tokens = vec![world.make_token().await, world.make_token().await];
        for caller in Caller::ALL {
            if let Some((owner, scopes)) = caller.key() {
                let (id, key) = world.make_key(owner, scopes).await;
                world.keys.insert(caller, key);
                if owner == Caller::OwnOperator {
                    world.own_keys.push(id);
                }
            }
        }
        for _ in 0..2 {
            let (id, _) = world.make_key(Caller::OwnOperator, &["nodes.read"]).await;
            world.own_keys.push(id);
        }
        world.private = world.private();
        let who = Who(Some(world.sessions[&Caller::Admin].cookie.clone()));
        let told = |node: &Value| {
            node["gpu_details"][0]["uuid"] == "GPU-of-a" && node["requests_24h"] == 3
        };
        let path = format!("/nodes/{NODE}");
        world.network.until(&who, &path, told).await;
        world
    }

    fn private(&self) -> Private {
        let receipts = self.network.sent.iter();
        let of_a = receipts.filter(|sent| sent.draft.node_id.as_str() == NODE);
        let mut all: Vec<String> = of_a.map(|sent| sent.draft.request_id.to_string()).collect();
        all.extend(["GPU-of-a", "cpu-of-a", "label-of-a"].map(str::to_owned));
        all.extend([Caller::OwnOperator.email(), WALLET.to_owned()]);
        all.extend([IDENTITY, "subject-of-a"].map(str::to_owned));
        all.push(POOL.to_owned());
        all.extend(self.own_keys.iter().cloned());
        Private(all)
    }

    async fn make_person(&mut self, caller: Caller) {
        let Some((role, org_id)) = caller.person() else {
            return;
        };
        let user = NewUser {
            user_id: caller.user_id(),
            email: caller.email(),
            password_hash: None,
            created_at_ms: 1,
            membership: NewMembership {
                org_id: org_id.to_owned(),
                roles: vec![role.as_str().to_owned()],
                created_by: "test".to_owned(),
            },
        };
        let (store, audit) = (&self.console.app.store, AuditEntry::default());
        let made = store.user_create(&SERVER.into(), &user, &audit).await;
        assert_eq!(made.expect("user"), UserCreated::Created);
        let session = self.sign_in(caller).await;
        self.sessions.insert(caller, session);
    }

    async fn sign_in(&self, caller: Caller) -> Session {
        let email = Email::parse(&caller.email()).expect("email");
        let link = self
            .accounts
            .sign_in_link(Some(&email))
            .await
            .expect("link");
        let request = self.request(Method::POST, "/api/v1/auth/redeem");
        let request = request.json(&json!({ "token": link.token() }));
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        let cookies: Vec<String> = response
            .headers()
            .get_all(header::SET_COOKIE)
            .iter()
            .filter_map(|value| Some(value.to_str().ok()?.split(';').next()?.to_owned()))
            .collect();
        let me: Value = response.json().await.expect("a person");
        Session {
            cookie: cookies.join("; "),
            csrf: me["csrf_token"].as_str().expect("a token").to_owned(),
        }
    }

    /// A token of A's operator, made as the console makes it.
    async fn make_token(&self) -> String {
        let request = self.request(Method::POST, "/api/v1/enrolment-tokens");
        let request = self.signed_in(request, &self.sessions[&Caller::OwnOperator]);
        let request = request.json(&json!({ "label": "label-of-a" }));
        let made: Value = expect_ok(request).await;
        made["id"].as_str().expect("an id").to_owned()
    }

    /// A private pool of A's, made as the console makes it, in a network that has such pools.
    async fn make_pool(&self) -> String {
        let admin = &self.sessions[&Caller::Admin];
        let flag = self.request(Method::PUT, "/api/v1/flags/enable_private_pools");
        let flag = flag.json(&json!({ "enabled": true }));
        expect_ok(self.signed_in(flag, admin)).await;
        let request = self.request(Method::POST, "/api/v1/pools");
        let wish = json!({ "org_id": OWN_ORG, "name": POOL });
        let made = expect_ok(self.signed_in(request, admin).json(&wish)).await;
        made["pool_id"].as_str().expect("an id").to_owned()
    }

    /// A key of a person, made as the console makes it: its id, and all of it.
    async fn make_key(&self, owner: Caller, scopes: &[&str]) -> (String, String) {
        let request = self.request(Method::POST, "/api/v1/api-keys");
        let request = self.signed_in(request, &self.sessions[&owner]);
        let wish = json!({ "name": "key-of-a", "scopes": scopes });
        let made: Value = expect_ok(request.json(&wish)).await;
        let text = |field: &str| made[field].as_str().expect("text").to_owned();
        (text("id"), text("key"))
    }

    pub(super) async fn read_with(&self, key: Caller, path: &str) -> Value {
        let request = self.request(Method::GET, &format!("/api/v1/{path}"));
        expect_ok(request.bearer_auth(&self.keys[&key])).await
    }

    /// What anybody may see: the overview and each receipt by its id, or nothing.
    pub(super) async fn open_to_all(&self, open: bool) {
        for flag in ["allow_anonymous_overview", "public_receipts"] {
            let request = self.request(Method::PUT, &format!("/api/v1/flags/{flag}"));
            let request = self.signed_in(request, &self.sessions[&Caller::Admin]);
            expect_ok(request.json(&json!({ "enabled": open }))).await;
        }
    }

    /// A's objects as an admin sees them, and what no answer shows of them.
    pub(super) async fn look(&self) -> BTreeMap<String, Value> {
        let mut seen = BTreeMap::new();
        for path in [
            format!("nodes/{NODE}"),
            format!("nodes/{NODE}/keys"),
            format!("nodes/{NODE}-2"),
            format!("nodes/{NODE}-3"),
            format!("receipts?node_id={NODE}"),
            format!("receipts/{}", self.request_id),
        ] {
            let shown = self.read(Caller::Admin, &path).await;
            seen.insert(path, shown);
        }
        let wallets = self.read(Caller::OwnOperator, "wallets").await;
        seen.insert("wallets".to_owned(), wallets);
        let identities = self.read(Caller::OwnOperator, "identities").await;
        seen.insert("identities".to_owned(), identities);
        for path in ["users", "orgs"] {
            let mut shown = self.read(Caller::Admin, path).await;
            // A session of the sweep is a sign-in of its person.
            for item in shown["items"].as_array_mut().expect("items") {
                item.as_object_mut()
                    .expect("an item")
                    .remove("last_sign_in_at");
            }
            seen.insert(path.to_owned(), shown);
        }
        let mut keys = self.read(Caller::OwnOperator, "api-keys").await;
        for key in keys["items"].as_array_mut().expect("items") {
            // The sweep uses them.
            let key = key.as_object_mut().expect("an item");
            key.retain(|field, _| !field.starts_with("last_used"));
        }
        seen.insert("api-keys".to_owned(), keys);
        let tokens = self.read(Caller::Admin, "enrolment-tokens").await;
        let tokens = tokens["items"].as_array().expect("tokens").iter();
        let of_a = tokens.filter(|token| token["label"] == "label-of-a");
        seen.insert("tokens".to_owned(), of_a.cloned().collect());
        for caller in [Caller::OwnOperator, Caller::Admin] {
            let me = self.request(Method::GET, "/api/v1/users/me");
            let me = self.signed_in(me, &self.sessions[&caller]).send().await;
            let status = me.expect("an answer").status().as_u16();
            seen.insert(format!("session of {}", caller.name()), json!(status));
        }
        let hidden = self.console.app.store.inspect();
        for agent in [OWN, SPARE, SPARE_KEY] {
            let node_id: &NodeId = &self.network.agents[agent].0.node_id;
            let orders = hidden.order_states(node_id).await.expect("orders");
            let evidence = hidden.evidence_count(node_id).await.expect("evidence");
            seen.insert(format!("orders of {node_id}"), json!(orders));
            seen.insert(format!("evidence against {node_id}"), json!(evidence));
        }
        seen
    }

    pub(super) async fn read(&self, caller: Caller, path: &str) -> Value {
        let request = self.request(Method::GET, &format!("/api/v1/{path}"));
        expect_ok(self.signed_in(request, &self.sessions[&caller])).await
    }

    /// Status, and what of A's is in the answer.
    pub(super) async fn call(&mut self, caller: Caller, route: &Route) -> String {
        let ask = ask(self, caller, route);
        let method = Method::from_bytes(route.method.as_bytes()).expect("a method");
        let mut request = self.request(method.clone(), &ask.address);
        if caller.person().is_some() {
            let session = match ask.signs_in_anew {
                true => self.sign_in(caller).await,
                false => self.sessions[&caller].clone(),
            };
            request = self.signed_in(request, &session);
        }
        if let Some(key) = self.keys.get(&caller) {
            request = request.bearer_auth(key);
        }
        if let Some(node) = caller.node() {
            request = self.as_node(request, ask.node.unwrap_or(node), &route.method, &ask);
        }
        if let Some(protocol) = ask.upgrade {
            request = upgrading(request, protocol);
        }
        if !ask.body.is_empty() {
            let json = request.header(header::CONTENT_TYPE, "application/json");
            request = json.body(ask.body);
        }
        let response = request.send().await.expect("an answer");
        let (status, path) = (response.status(), response.url().path().to_owned());
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return format!("{} -", status.as_u16());
        }
        let text = response.text().await.expect("a body");
        assert!(!status.is_server_error(), "{route}: {status} {text}");
        assert_documented(&method, &path, status.as_u16(), text.as_bytes());
        format!("{} {}", status.as_u16(), self.private.seen_in(&text))
    }

    pub(super) fn request(&self, method: Method, address: &str) -> RequestBuilder {
        let url = format!("http://{}{address}", self.console.address);
        let request = self.http.request(method, url);
        request.header("sec-fetch-site", "same-origin")
    }

    fn signed_in(&self, request: RequestBuilder, session: &Session) -> RequestBuilder {
        request
            .header(header::COOKIE, &session.cookie)
            .header("x-csrf-token", &session.csrf)
    }

    fn as_node(
        &self,
        mut request: RequestBuilder,
        node: usize,
        method: &str,
        ask: &Ask,
    ) -> RequestBuilder {
        let agent = &self.network.agents[node].0;
        let headers = agent.headers(method, &ask.address, &ask.body);
        for (name, value) in headers.expect("headers") {
            request = request.header(name, value);
        }
        request
    }
}

/// One node of each organisation that served, and two of A's for what cannot be undone.
async fn nodes(network: &mut Network) {
    for (name, org_id) in [
        (NODE, OWN_ORG),
        ("rig-of-b", OTHER_ORG),
        (&format!("{NODE}-2"), OWN_ORG),
        (&format!("{NODE}-3"), OWN_ORG),
    ] {
        network.join(name, "eu-west", Some(org_id)).await;
    }
    for at in [OTHER, OWN] {
        network.activate(at).await;
    }
    let mut inventory = machine();
    inventory.host.cpu = Some("cpu-of-a".to_owned());
    inventory.gpus[0].uuid = Some("GPU-of-a".to_owned());
    network.say(OWN, ToControlPlane::Inventory(inventory)).await;
    network.send(OTHER, |_| {}).await;
    for _ in 0..2 {
        network.send(OWN, |draft| draft.tokens_input = TOKENS).await;
    }
}

fn upgrading(request: RequestBuilder, protocol: &str) -> RequestBuilder {
    let request = request
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==");
    if protocol.is_empty() {
        return request;
    }
    request.header(header::SEC_WEBSOCKET_PROTOCOL, protocol)
}

async fn expect_ok(request: RequestBuilder) -> Value {
    let response = request.send().await.expect("an answer");
    let (status, url) = (response.status(), response.url().clone());
    assert!(status.is_success(), "{url}: {status}");
    response.json().await.expect("a body")
}

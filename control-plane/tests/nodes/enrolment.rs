//! A token and a key become a node, exactly as often as the token says.

use crate::support::{Server, ack, error_type, quarantined, quick};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dgon_control_plane::app::Clock;
use dgon_control_plane_model::lifecycle::State;
use dgon_protocol::enrol::{RegisterNonce, RegisterRequest, RegisterResponse, proof_bytes};
use dgon_protocol::error::{ErrorBody, ErrorType};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::{NodeKey, PublicKey, signature_text};
use dgon_protocol::rotate::ROTATE_PATH;
use dgon_testkit::fleet::{Enrol, SimAgent, SimError};
use serde_json::json;

async fn nonce(server: &Server) -> String {
    let url = format!("{}/api/v1/nodes/register/nonce", server.url);
    let answer = server.http.post(url).send().await.expect("nonce");
    answer.json::<RegisterNonce>().await.expect("nonce").nonce
}

fn request(token: &str, nonce: &str, key: &NodeKey) -> RegisterRequest {
    RegisterRequest {
        token: token.to_owned(),
        public_key: key.public(),
        nonce: nonce.to_owned(),
        signature: signature_text(&key.sign(&proof_bytes(nonce, &key.public()))),
        node_id: None,
        region: None,
        agent_version: "1".to_owned(),
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        hardware_hash: None,
    }
}

async fn register(server: &Server, request: &RegisterRequest) -> reqwest::Response {
    let url = format!("{}/api/v1/nodes/register", server.url);
    server
        .http
        .post(url)
        .json(request)
        .send()
        .await
        .expect("register")
}

#[tokio::test]
async fn a_node_gets_a_name_a_region_and_the_address_of_its_link() {
    let server = Server::start().await;
    let token = server.token(1).await;
    let key = NodeKey::from_seed(&[1; 32]);
    let nonce = nonce(&server).await;
    let response = register(&server, &request(&token, &nonce, &key)).await;
    assert_eq!(response.status(), 201);
    let answer: RegisterResponse = response.json().await.expect("answer");
    assert_eq!(answer.region, "eu-test");
    assert_eq!(
        answer.link_url,
        format!("{}/api/v1/nodes/link", server.url.replace("http", "ws"))
    );
    assert!(answer.node_id.as_str().starts_with("node-"));
}

#[tokio::test]
async fn a_race_of_fifty_enrols_exactly_one() {
    let server = Server::start().await;
    let token = server.token(1).await;
    let tries =
        (0..50).map(|_| SimAgent::enrol(&server.http, &server.url, &token, Enrol::default()));
    let mut enrolled = 0;
    for attempt in futures_util::future::join_all(tries).await {
        match attempt {
            Ok(_) => enrolled += 1,
            Err(SimError::Refused { status, text }) => {
                assert_eq!(status, 401);
                assert!(text.contains("invalid_token"), "{text}");
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(enrolled, 1);
}

#[tokio::test]
async fn an_enrolment_token_is_refused_when_it_is_spent_late_or_of_others() {
    let clock = Clock::manual(1_795_230_000_000);
    let server = Server::start_with(quick(), clock.clone()).await;
    let enrol = async |token: &str, seed: u8| {
        let nonce = nonce(&server).await;
        register(
            &server,
            &request(token, &nonce, &NodeKey::from_seed(&[seed; 32])),
        )
        .await
    };
    let once = server.token(1).await;
    assert_eq!(enrol(&once, 1).await.status(), 201);
    let late = server.token(1).await;
    let of_others = server.token_of(Some("org_other"), 1).await;
    // The machine of the first token is its organisation's: another's token does not take it over.
    for (token, seed) in [(&once, 2), (&of_others, 1), (&format!("{once}x"), 3)] {
        let refused = enrol(token, seed).await;
        assert_eq!(refused.status(), 401, "{seed}");
        assert_eq!(error_type(refused).await, ErrorType::InvalidToken);
    }
    clock.advance(3_600_000);
    let refused = enrol(&late, 4).await;
    assert_eq!(refused.status(), 401);
    assert_eq!(error_type(refused).await, ErrorType::InvalidToken);
}

#[tokio::test]
async fn keys_that_prove_nothing_are_refused_and_cost_no_token() {
    let server = Server::start().await;
    let token = server.token(1).await;
    let key = NodeKey::from_seed(&[1; 32]);
    let nonce = nonce(&server).await;
    let good = request(&token, &nonce, &key);

    let mut weak = good.clone();
    weak.public_key = PublicKey::from_bytes([0; 32]);
    let mut foreign = good.clone();
    foreign.public_key = NodeKey::from_seed(&[2; 32]).public();
    for bad in [weak, foreign] {
        let response = register(&server, &bad).await;
        assert_eq!(error_type(response).await, ErrorType::InvalidKey);
    }
    let mut stale = good.clone();
    stale.nonce = "AAAA".to_owned();
    assert_eq!(
        error_type(register(&server, &stale).await).await,
        ErrorType::InvalidRequest
    );

    assert_eq!(register(&server, &good).await.status(), 201);
    // A key that was given up never enrols again.
    let mut agent = server.agent("a").await;
    let old = agent.key.clone();
    let rotation = serde_json::to_vec(&agent.rotate().expect("rotation")).expect("json");
    let rotated = server.post(&agent, ROTATE_PATH, &rotation).await;
    assert_eq!(rotated.status(), 200);
    let again = request(&server.token(1).await, &nonce, &old);
    assert_eq!(
        error_type(register(&server, &again).await).await,
        ErrorType::InvalidKey
    );
}

#[tokio::test]
async fn a_known_machine_is_the_same_node_again_and_its_chain_goes_on() {
    for server in [Server::start().await, Server::start_on_postgres().await] {
        let (mut agent, mut link) = server.active_agent("a").await;
        let first = agent.next_receipt().expect("receipt");
        link.send_receipts([&first]).await.expect("send");
        ack(&mut link, first.seq).await;

        let nonce = nonce(&server).await;
        let mut again = request(&server.token(1).await, &nonce, &agent.key);
        again.node_id = Some(NodeId::parse("b").expect("id"));
        let response = register(&server, &again).await;
        assert_eq!(error_type(response).await, ErrorType::Conflict);
        again.node_id = None;
        let response = register(&server, &again).await;
        assert_eq!(response.status(), 201);
        let answer: RegisterResponse = response.json().await.expect("answer");
        assert_eq!(answer.node_id, agent.node_id);
        assert_eq!(server.state(&agent), State::Active, "its state stays");
        // The token is spent, and the secret of before is worth nothing.
        let response = register(&server, &again).await;
        assert_eq!(error_type(response).await, ErrorType::InvalidToken);
        assert!(agent.connect().await.is_err());
        let secret = STANDARD.decode(answer.node_secret).expect("base64");
        agent.secret = secret;
        let mut link = agent.connect().await.expect("the new secret");
        assert_eq!(link.welcome.acked_seq, first.seq);
        let next = agent.next_receipt().expect("receipt");
        link.send_receipts([&next]).await.expect("send");
        assert_eq!(ack(&mut link, next.seq).await.refused, []);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_known_machine_stays_with_its_organisation_and_in_its_quarantine() {
    let server = Server::start().await;
    let (mut agent, mut link) = server.active_agent("a").await;
    let mut forged = agent.next_receipt().expect("receipt");
    forged.signed.entry_bytes = forged
        .text()
        .replace("\"tokens_input\":", "\"tokens_input\":1")
        .into();
    link.send_receipts([&forged]).await.expect("send");
    quarantined(&mut link).await;
    let nonce = nonce(&server).await;
    let foreign = server.token_of(Some("org_other"), 1).await;
    let response = register(&server, &request(&foreign, &nonce, &agent.key)).await;
    assert_eq!(error_type(response).await, ErrorType::InvalidToken);
    let own = server.token(1).await;
    let response = register(&server, &request(&own, &nonce, &agent.key)).await;
    assert_eq!(response.status(), 201);
    assert_eq!(server.state(&agent), State::Quarantine);
}

#[tokio::test]
async fn a_name_belongs_to_the_first() {
    let server = Server::start().await;
    let first = server.agent("same").await;
    let token = server.token(1).await;
    let options = Enrol {
        node_id: Some(first.node_id),
        region: None,
    };
    let second = SimAgent::enrol(&server.http, &server.url, &token, options).await;
    assert!(matches!(second, Err(SimError::Refused { status: 409, .. })));
}

#[tokio::test]
async fn no_node_is_called_like_an_address_and_the_token_is_not_spent_on_it() {
    let server = Server::start().await;
    let token = server.token(1).await;
    let key = NodeKey::from_seed(&[9; 32]);
    for name in [
        "self",
        "SELF",
        "Register",
        "heartbeat",
        "link",
        "key",
        "agent.yaml",
        "commands",
    ] {
        let nonce = nonce(&server).await;
        let wish = RegisterRequest {
            node_id: Some(NodeId::parse(name).expect("name")),
            ..request(&token, &nonce, &key)
        };
        let refused = register(&server, &wish).await;
        assert_eq!(refused.status(), 400, "{name}");
        let text = refused.text().await.expect("body");
        assert!(
            text.contains("invalid_request") && text.contains(name),
            "{text}"
        );
        assert!(text.contains("choose another name"), "{text}");
    }
    let nonce = nonce(&server).await;
    let wish = RegisterRequest {
        node_id: Some(NodeId::parse("self-1").expect("name")),
        ..request(&token, &nonce, &key)
    };
    assert_eq!(register(&server, &wish).await.status(), 201);
}

async fn enrolled_in(server: &Server, request: &RegisterRequest) -> String {
    let response = register(server, request).await;
    assert_eq!(response.status(), 201);
    response
        .json::<RegisterResponse>()
        .await
        .expect("answer")
        .region
}

#[tokio::test]
async fn a_node_is_in_a_region_of_the_list_or_in_none() {
    let server = Server::start().await;
    let nonce = nonce(&server).await;
    let token = server.token(2).await;
    let first = NodeKey::from_seed(&[1; 32]);
    let with_region = |token: &str, key: &NodeKey, region: Option<&str>| RegisterRequest {
        region: region.map(str::to_owned),
        ..request(token, &nonce, key)
    };
    for region in ["mars", "EU-TEST", "eu-test ", "a\nb"] {
        let refused = register(&server, &with_region(&token, &first, Some(region))).await;
        assert_eq!(refused.status(), 400, "{region:?}");
        let error: ErrorBody = refused.json().await.expect("an error body");
        let message = &error.error.message;
        assert!(
            message.contains("eu-test, eu-west, us-east, ap-south"),
            "{message}"
        );
        let list = json!(["eu-test", "eu-west", "us-east", "ap-south"]);
        assert_eq!(error.error.details["regions"], list);
    }
    // A refusal cost no use of the token. What the machine names counts more than the token.
    let wish = with_region(&token, &first, Some("us-east"));
    assert_eq!(enrolled_in(&server, &wish).await, "us-east");
    // A node of before keeps its region, whatever it names now.
    let wish = with_region(&token, &first, Some("mars"));
    assert_eq!(enrolled_in(&server, &wish).await, "us-east");

    let anywhere = server.token_in(None, None, 1).await;
    let wish = with_region(&anywhere, &NodeKey::from_seed(&[2; 32]), None);
    assert_eq!(enrolled_in(&server, &wish).await, "unknown");
    let from_token = server.token(1).await;
    let wish = with_region(&from_token, &NodeKey::from_seed(&[3; 32]), Some(""));
    assert_eq!(enrolled_in(&server, &wish).await, "eu-test");
    // The list may be another since the token was made.
    let of_before = server.token_in(Some("atlantis"), None, 1).await;
    let wish = with_region(&of_before, &NodeKey::from_seed(&[4; 32]), None);
    let refused = register(&server, &wish).await;
    assert_eq!(error_type(refused).await, ErrorType::InvalidRequest);

    let shown = server.shown("/regions").await;
    let region = |region: &str, nodes: i64| json!({"region": region, "nodes": nodes});
    let items = [
        region("eu-test", 1),
        region("eu-west", 0),
        region("us-east", 1),
        region("ap-south", 0),
    ];
    assert_eq!(shown, json!({"items": items, "elsewhere": 1}));
}

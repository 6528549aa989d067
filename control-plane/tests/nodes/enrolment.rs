//! A token and a key become a node, exactly as often as the token says.

use crate::support::{Server, error_type};
use dgon_protocol::enrol::{RegisterNonce, RegisterRequest, RegisterResponse, proof_bytes};
use dgon_protocol::error::ErrorType;
use dgon_protocol::key::{NodeKey, PublicKey, signature_text};
use dgon_testkit::fleet::{Enrol, SimAgent, SimError};

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
    let again = request(&server.token(1).await, &nonce, &key);
    assert_eq!(
        error_type(register(&server, &again).await).await,
        ErrorType::InvalidKey
    );
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

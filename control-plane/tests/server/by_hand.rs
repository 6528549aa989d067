//! Two schemas of the OpenAPI document are written by hand, as no type of this crate is what they describe: each has the fields of
//! what is answered, no more and no less.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::schemas::assert_fits;
use crate::support::Server;
use dgon_control_plane::accounts::Role;
use dgon_control_plane::http::openapi::document;
use dgon_control_plane_model::identity::{
    Chain, Nonce, SignInFields, SignInRequest, SiteUri, SolanaCluster, Statement,
};
use dgon_protocol::key::NodeKey;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value};

/// Asserts that a value has all fields of a schema and no others, and so on within it.
fn assert_same_fields(schemas: &Value, name: &str, value: &Map<String, Value>) {
    let schema = &schemas[name]["properties"];
    let schema = schema.as_object().expect("properties");
    let (of_schema, own): (Vec<&String>, Vec<&String>) =
        (schema.keys().collect(), value.keys().collect());
    assert_eq!(of_schema, own, "the fields of {name}, and those of a value");
    for (field, described) in schema {
        let Value::Object(inner) = &value[field] else {
            continue;
        };
        // What may be absent is one of several.
        let ways = described["oneOf"].as_array().into_iter().flatten();
        let mut ways = ways.chain([described]);
        let part = ways.find_map(|way| way["$ref"].as_str());
        let part = part.expect("a part with a schema of its own");
        let part = part.rsplit('/').next().expect("a name");
        assert_same_fields(schemas, part, inner);
    }
}

fn assert_has_the_fields_of(name: &str, value: &Value) {
    assert_fits(name, value);
    let api = serde_json::to_value(document()).expect("document");
    let fields = value.as_object().expect("an object");
    assert_same_fields(&api["components"]["schemas"], name, fields);
}

#[tokio::test]
async fn the_agent_yaml_of_the_document_is_the_one_that_is_written() {
    let server = Server::start().await;
    let mut operator = server.signed_in("o@example.com", &[Role::Operator]).await;
    let path = "/api/v1/nodes/agent.yaml";
    // Asked for by a name that others can listen to, with every wish: then nothing is left out.
    let full = format!("{path}?region=local&node_id=rig-7");
    let request = operator.request(Method::GET, &full);
    let full = operator.send(request.header("host", "dgon.example")).await;
    assert_eq!(full.status, StatusCode::OK, "{}", full.text);
    let yaml: Value = serde_yaml::from_str(&full.text).expect("yaml");
    assert_eq!(yaml["control_plane"]["insecure_http"], true);
    assert_has_the_fields_of("AgentYaml", &yaml);
    let bare = operator.get(path).await;
    let yaml: Value = serde_yaml::from_str(&bare.text).expect("yaml");
    assert_fits("AgentYaml", &yaml);
}

#[test]
fn the_input_for_solana_of_the_document_is_the_one_that_is_made() {
    let request = SignInRequest::new(SignInFields {
        uri: SiteUri::parse("https://console.example").expect("an address"),
        statement: Statement::parse("Sign in.").expect("a statement"),
        chain: Chain::Solana {
            cluster: SolanaCluster::Mainnet,
        },
        address: bs58::encode(NodeKey::from_seed(&[1; 32]).public().as_bytes()).into_string(),
        nonce: Nonce::from_random([7; 16]),
        issued_at_ms: 0,
        expires_at_ms: 1_000,
    });
    let request = request.expect("a request");
    let input = request.solana_input().expect("a Solana account");
    let input = serde_json::to_value(input).expect("json");
    assert_has_the_fields_of("SolanaSignIn", &input);
}

//! The agent.yaml of one machine, ready to be copied. It holds no secret.

use crate::accounts::Role;
use crate::http::auth::Actor;
use crate::http::error::ApiError;
use crate::http::extract::Query;
use crate::http::node::reserved;
use crate::http::state::HttpState;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use dgon_protocol::id::NodeId;
use http::{HeaderMap, header};
use serde::Deserialize;
use std::net::IpAddr;
use utoipa::{IntoParams, ToSchema};

/// Which machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
pub struct AgentYamlQuery {
    /// Where the machine is: one of `GET /regions`.
    pub region: Option<String>,
    /// The name that it shall have; the control plane makes one where this is absent.
    pub node_id: Option<String>,
}

/// What the file says, beside its comments. `schemas/agent.yaml.schema.json` has all that an agent reads.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is written as text")]
struct AgentYaml {
    /// The network.
    control_plane: YamlControlPlane,
    /// This machine; absent where neither its name nor its region was asked for.
    node: Option<YamlNode>,
    /// Where LLM runtimes are looked for.
    runtimes: YamlRuntimes,
    /// Where clients send their requests.
    proxy: YamlProxy,
    /// What the network may ask of this machine.
    allow: Vec<String>,
    /// Where receipts wait.
    spool: YamlSpool,
    /// What is logged.
    log: YamlLog,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is written as text")]
struct YamlControlPlane {
    /// Its address.
    api: String,
    /// The address is plain HTTP, and others can read what goes there.
    insecure_http: Option<bool>,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is written as text")]
struct YamlNode {
    /// Its name.
    id: Option<String>,
    /// Where it is.
    region: Option<String>,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is written as text")]
struct YamlRuntimes {
    /// On their default ports.
    detect: bool,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is written as text")]
struct YamlProxy {
    /// Address and port.
    listen: String,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is written as text")]
struct YamlSpool {
    /// Most receipts.
    max_receipts: u32,
    /// Most MiB.
    max_mib: u32,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is written as text")]
struct YamlLog {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    level: String,
    /// `text` or `json`.
    format: String,
}

/// The agent.yaml for one machine, with comments.
///
/// # Errors
/// `unauthorized`, `forbidden`, `invalid_request`.
#[utoipa::path(get, path = "/api/v1/nodes/agent.yaml", tag = "enrolment", params(AgentYamlQuery),
    responses((status = 200, description = "The file.", body = AgentYaml, content_type = "text/yaml")))]
pub async fn agent_yaml(
    State(state): State<HttpState>,
    actor: Actor,
    headers: HeaderMap,
    Query(query): Query<AgentYamlQuery>,
) -> Result<Response, ApiError> {
    actor.require(&[Role::Admin, Role::Operator])?;
    let node_id = match query.node_id.filter(|id| !id.is_empty()) {
        Some(id) => Some(node_name(id)?),
        None => None,
    };
    let region = query.region.filter(|region| !region.trim().is_empty());
    if let Some(region) = &region {
        let checked = state.app.settings.regions.check(region.trim());
        checked.map_err(|error| ApiError::from(error).with("parameter", "region"))?;
    }
    let api = address(&state, &headers)?;
    let text = render(&api, node_id.as_ref(), region.as_deref().map(str::trim));
    Ok(([(header::CONTENT_TYPE, "text/yaml; charset=utf-8")], text).into_response())
}

/// A name that enrolment would take.
fn node_name(id: String) -> Result<NodeId, ApiError> {
    let invalid = |message: String| ApiError::invalid(message).with("parameter", "node_id");
    let node_id = NodeId::parse(id).map_err(|error| invalid(error.to_string()))?;
    match reserved::check(&node_id) {
        Ok(()) => Ok(node_id),
        Err(error) => Err(invalid(error.to_string())),
    }
}

/// The address that the caller reached this server by, unless one is set.
pub(in crate::http) fn address(state: &HttpState, headers: &HeaderMap) -> Result<String, ApiError> {
    if let Some(url) = &state.app.settings.public_url {
        return Ok(url.clone());
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let plain = |host: &&str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
    };
    match host.filter(plain) {
        Some(host) => Ok(format!("http://{host}")),
        None => Err(ApiError::invalid(
            "the Host header is not an address; set public_url",
        )),
    }
}

/// A JSON string is a YAML string, whatever its characters.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether an agent must be told to use this address, because others can read what goes there.
fn is_plain_to_others(api: &str) -> bool {
    let Some(authority) = api.strip_prefix("http://") else {
        return false;
    };
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => authority.split(':').next(),
    };
    let is_loopback =
        |host: &str| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    !host.is_some_and(is_loopback)
}

fn render(api: &str, node_id: Option<&NodeId>, region: Option<&str>) -> String {
    let insecure = if is_plain_to_others(api) {
        "  # Plain HTTP: others on the way can read the node's secret. Remove this once there is TLS.\n  insecure_http: true\n"
    } else {
        ""
    };
    let api = quoted(api);
    let node = match (node_id, region) {
        (None, None) => "# node:\n#   id: the name that enrolment gave; a check, not needed\n#   region: such as eu-west".to_owned(),
        (id, region) => {
            let id = id.map(|id| format!("\n  id: {}", quoted(id.as_str())));
            let region = region.map(|region| format!("\n  region: {}", quoted(region)));
            format!("node:{}{}", id.unwrap_or_default(), region.unwrap_or_default())
        }
    };
    format!(
        "# Configuration of dgon-agent. Check it with: dgon-agent --config agent.yaml config check\n\
         # Flags and environment variables win over this file. It holds no secret: the key stays on the machine.\n\
         \n\
         # The network that this machine joins.\n\
         control_plane:\n  api: {api}\n{insecure}\
         \n\
         # This machine.\n\
         {node}\n\
         \n\
         # Where LLM runtimes are looked for: their default ports, and the endpoints named here.\n\
         runtimes:\n  detect: true\n  # endpoints:\n  #   - http://127.0.0.1:8000\n\
         \n\
         # Clients send their requests here; each gets a signed receipt.\n\
         proxy:\n  listen: 127.0.0.1:11435\n\
         \n\
         # What the network may ask of this machine, and nothing else. Also known: container, command.\n\
         allow: [probe, gateway, inference, benchmark]\n\
         \n\
         # Receipts wait here while the network cannot be reached.\n\
         spool:\n  max_receipts: 100000\n  max_mib: 256\n\
         \n\
         log:\n  level: info      # error, warn, info, debug, trace\n  format: text     # text, json\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_yaml_with_what_was_asked_for() {
        let id = NodeId::parse("rig-7").expect("id");
        let text = render("https://dgon.example", Some(&id), Some("eu: \"west\" #1"));
        let yaml: serde_yaml::Value = serde_yaml::from_str(&text).expect("yaml");
        assert_eq!(yaml["control_plane"]["api"], "https://dgon.example");
        assert_eq!(yaml["node"]["id"], "rig-7");
        assert_eq!(yaml["node"]["region"], "eu: \"west\" #1");
        assert_eq!(yaml["proxy"]["listen"], "127.0.0.1:11435");
    }

    #[test]
    fn name_and_region_may_be_left_out() {
        let text = render("http://127.0.0.1:8080", None, None);
        let yaml: serde_yaml::Value = serde_yaml::from_str(&text).expect("yaml");
        assert!(yaml.get("node").is_none());
        assert_eq!(yaml["allow"][0], "probe");
    }
}

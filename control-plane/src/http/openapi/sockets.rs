//! The two WebSockets. OpenAPI has no words for frames: the extension `x-websocket` of their operations names the schema of
//! each direction.

use crate::live::{FromBrowser, ToBrowser};
use dgon_protocol::frame::{LINK_PATH, SUBPROTOCOL, ToAgent, ToControlPlane};
use serde_json::json;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Components, Required};
use utoipa::{PartialSchema, ToSchema};

const LIVE_PATH: &str = "/api/v1/live";

/// Adds what the frames are made of.
pub(super) fn add_frames(components: &mut Components) {
    add::<ToControlPlane>(components);
    add::<ToAgent>(components);
    add::<FromBrowser>(components);
    add::<ToBrowser>(components);
}

fn add<T: ToSchema + PartialSchema>(components: &mut Components) {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    parts.push((T::name().into_owned(), T::schema()));
    for (name, schema) in parts {
        components.schemas.entry(name).or_insert(schema);
    }
}

/// Describes the socket, where an operation is one.
pub(super) fn describe(path: &str, operation: &mut Operation) {
    let frames = |name: std::borrow::Cow<'static, str>| json!({ "$ref": format!("#/components/schemas/{name}") });
    let (socket, protocol) = match path {
        LINK_PATH => (
            json!({
                "subprotocol": SUBPROTOCOL,
                "from_client": frames(ToControlPlane::name()),
                "to_client": frames(ToAgent::name()),
                "binary": "Relayed streams, both ways: one byte of kind (1 open, 2 headers, 3 body, 4 end, 5 cancel, 6 window), \
                    four bytes of stream id, big endian, and at most 64 KiB of payload. protocol/src/relay reads and \
                    writes them, protocol/src/frame the text frames.",
                "begin": "challenge to the client, hello from it, welcome to it; docs/agent/link.md tells the rest.",
            }),
            Some(SUBPROTOCOL),
        ),
        LIVE_PATH => (
            json!({
                "from_client": frames(FromBrowser::name()),
                "to_client": frames(ToBrowser::name()),
                "close": { "1013": "come back in a while", "4401": "the session has ended: sign in" },
            }),
            None,
        ),
        _ => return,
    };
    let parameters = operation.parameters.get_or_insert_default();
    parameters.extend(handshake(protocol).into_iter().map(Into::into));
    let extensions = operation.extensions.get_or_insert_default();
    extensions.merge(Extensions::from_iter([("x-websocket", socket)]));
}

/// The headers of RFC 6455.
fn handshake(protocol: Option<&'static str>) -> Vec<Parameter> {
    let exactly = |word: &'static str| {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some([word]))
            .build()
    };
    let key = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[A-Za-z0-9+/]{22}==$"))
        .build();
    let mut headers = vec![
        ("connection", exactly("Upgrade")),
        ("upgrade", exactly("websocket")),
        ("sec-websocket-version", exactly("13")),
        ("sec-websocket-key", key),
    ];
    headers.extend(protocol.map(|protocol| ("sec-websocket-protocol", exactly(protocol))));
    let parameter = |(name, schema)| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::True)
            .schema(Some(schema))
            .build()
    };
    headers.into_iter().map(parameter).collect()
}

//! JSON schemas of values that are written as text with rules of their own. Only for writing the published schema.

use super::{BaseUrl, QuietHours, RuntimeEndpoint};
use dgon_protocol::frame::Permission;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// An enrolled name.
pub(super) struct NodeIdText;

impl JsonSchema for NodeIdText {
    fn schema_name() -> Cow<'static, str> {
        "NodeId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": 64})
    }
}

/// What the control plane may ask for.
pub(super) struct PermissionName;

impl JsonSchema for PermissionName {
    fn schema_name() -> Cow<'static, str> {
        "Permission".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<serde_json::Value> = [
            Permission::Probe,
            Permission::Gateway,
            Permission::Inference,
            Permission::Benchmark,
            Permission::Container,
            Permission::Command,
        ]
        .iter()
        .map(|one| serde_json::to_value(one).unwrap_or_default())
        .collect();
        json_schema!({"enum": names})
    }
}

impl JsonSchema for BaseUrl {
    fn schema_name() -> Cow<'static, str> {
        "BaseUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "http://HOST[:PORT] or https://HOST[:PORT], without user, query or fragment",
            "type": "string",
            "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^@?#\\s]+$",
        })
    }
}

impl JsonSchema for QuietHours {
    fn schema_name() -> Cow<'static, str> {
        "QuietHours".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A span of the day, HH:MM-HH:MM; it may pass midnight",
            "type": "string",
            "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$",
        })
    }
}

impl JsonSchema for RuntimeEndpoint {
    fn schema_name() -> Cow<'static, str> {
        "RuntimeEndpoint".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let url = generator.subschema_for::<BaseUrl>();
        json_schema!({
            "description": "A place to look for a runtime: its address, or the address with more",
            "anyOf": [
                url,
                {
                    "type": "object",
                    "properties": {
                        "url": url,
                        "kind": {"type": "string", "description": "Which server it is; found out where it is absent"},
                        "api_key_file": {"type": "string", "description": "File with the API key: one line"},
                        "ca_file": {"type": "string", "description": "PEM file of the certificates that the runtime's own must lead to"},
                    },
                    "required": ["url"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

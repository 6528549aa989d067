//! Receipts on their way: `receipts`, `ack`, `need`.

use crate::error::ErrorType;
use crate::id::RequestId;
use crate::text::Text;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// `receipts`: entry bytes as raw JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Receipts))]
pub struct Receipts {
    /// At most 256, in `seq` order.
    #[cfg_attr(feature = "schema", schema(value_type = Vec<crate::schema::ReceiptBody>, max_items = 256))]
    pub receipts: Vec<Box<RawValue>>,
}

/// `ack`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Ack))]
pub struct Ack {
    /// Every receipt up to this `seq` is durable or refused.
    pub acked_seq: u64,
    /// Those that were refused.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(max_items = 1024))]
    pub refused: Vec<Refused>,
}

/// One refused receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Refused))]
pub struct Refused {
    /// Which one; absent where the bytes had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Why, for a program.
    #[serde(rename = "type")]
    pub kind: ErrorType,
    /// Why, for a person.
    pub message: Text,
}

/// `need`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Need))]
pub struct Need {
    /// First missing `seq`.
    pub from: u64,
    /// Last missing `seq`.
    pub to: u64,
}

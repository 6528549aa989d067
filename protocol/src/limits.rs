//! Every limit of the wire in one place. Sizes in bytes unless the name says otherwise.

use std::time::Duration;

/// Largest receipt that any verifier reads.
pub const RECEIPT_BYTES: usize = 64 * 1024;
/// Deepest nesting of a receipt; its own object is level 1.
pub const RECEIPT_DEPTH: usize = 32;
/// Largest integer magnitude in a receipt: 2^53 - 1, exact in every JSON implementation.
pub const INTEGER_MAX: i64 = (1 << 53) - 1;
/// Receipts in one `receipts` frame or one HTTP post.
pub const RECEIPTS_PER_BATCH: usize = 256;
/// Receipts that an agent may have sent and not yet seen acknowledged.
pub const RECEIPTS_IN_FLIGHT: usize = 1024;
/// Receipts that the control plane holds for a node while a gap before them is open.
pub const RECEIPTS_HELD: usize = 256;
/// Largest WebSocket frame, text or binary, in either direction.
pub const FRAME_BYTES: usize = 1024 * 1024;
/// Largest `welcome` that an agent reads: a receipt, and room for flags.
pub const WELCOME_BYTES: usize = RECEIPT_BYTES + 64 * 1024;
/// Frames queued for sending per direction and session before backpressure.
pub const FRAMES_QUEUED: usize = 16;
/// Largest payload of one relay frame.
pub const RELAY_PAYLOAD_BYTES: usize = 64 * 1024;
/// Credit that each direction of a relay stream begins with, in bytes of `body` frames, without being told.
pub const RELAY_INITIAL_CREDIT: u32 = 64 * 1024;
/// Credit that one direction of a relay stream may have at most, bytes. More is a fault.
pub const RELAY_CREDIT_MAX: u32 = 16 * 1024 * 1024;
/// Relay streams open at once in one session.
pub const RELAY_STREAMS: usize = 512;
/// Largest body of a relayed request.
pub const RELAY_BODY_BYTES: u64 = 32 * 1024 * 1024;
/// Largest work order, and largest countersignature.
pub const ORDER_BYTES: usize = 8 * 1024;
/// Order keys that are live at once.
pub const ORDER_KEYS: usize = 16;
/// Largest `keys` frame's data that an agent reads.
pub const KEYS_BYTES: usize = 16 * 1024;
/// How far ahead of now an order's `start_by_ms` may lie: what an agent must remember is bounded by it.
pub const ORDER_START_AHEAD: Duration = Duration::from_secs(120);
/// How far ahead of now an order's `finish_by_ms` may lie.
pub const ORDER_FINISH_AHEAD: Duration = Duration::from_secs(24 * 3600);
/// Orders that an agent remembers, so that none is served twice.
pub const ORDERS_REMEMBERED: usize = 65_536;
/// Deepest nesting of general JSON that is hashed, such as a request; its own object is level 1.
pub const CONTENT_DEPTH: usize = 64;
/// Largest answer that is put together of its chunks: text of all choices.
pub const CONTENT_BYTES: usize = 32 * 1024 * 1024;
/// Choices of one answer.
pub const CONTENT_CHOICES: usize = 128;
/// Tool calls of one choice.
pub const CONTENT_TOOL_CALLS: usize = 128;
/// Greatest distance between a request's timestamp and the server's clock.
pub const CLOCK_SKEW: Duration = Duration::from_secs(120);
/// How long the server remembers a v2 nonce: more than twice [`CLOCK_SKEW`].
pub const NONCE_TTL: Duration = Duration::from_secs(300);
/// Fewest random bytes in a v2 nonce.
pub const NONCE_BYTES: usize = 16;
/// How often an agent sends a heartbeat unless `welcome` says otherwise.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
/// How often an agent pings the link.
pub const PING: Duration = Duration::from_secs(15);
/// Pings without a pong after which the agent drops the link.
pub const MISSED_PONGS: u32 = 2;
/// First step of the reconnect backoff.
pub const BACKOFF_BASE: Duration = Duration::from_millis(500);
/// Longest reconnect backoff.
pub const BACKOFF_CAP: Duration = Duration::from_secs(30);
/// A session that lived this long resets the backoff.
pub const BACKOFF_RESET: Duration = Duration::from_secs(60);
/// How long the handshake of a link may take.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long after its rotation a receipt of the old key may have ended: time for the control plane's answer to reach
/// an agent that goes on serving. An agent that hears nothing changes over by itself after half of it.
pub const KEY_GRACE: Duration = Duration::from_secs(3600);

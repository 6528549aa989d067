//! Decisions of the agent link: when to dial again, what to send, when the peer counts as gone. Pure.
//!
//! Times are given as durations since any fixed moment of a monotonic clock.

pub mod backoff;
pub mod issues;
pub mod liveness;
pub mod rate;
pub mod window;

pub use backoff::{Backoff, Takeovers};
pub use issues::Issues;
pub use liveness::{Liveness, Verdict};
pub use rate::{Bucket, Cost, RateExceeded, RateLimiter};
pub use window::{Span, Window};

//! The runtime of a simulated node: what it answers follows from what it is asked.

use dgon_protocol::order::WorkOrder;
use dgon_protocol::relay::AnswerHead;

/// One answer. Its body is made as it is sent, so one that nobody would come to the end of costs nothing.
pub struct Answer {
    /// How it begins.
    pub head: AnswerHead,
    /// Its body, in the pieces that the runtime writes; none is empty.
    pub pieces: Box<dyn Iterator<Item = Vec<u8>> + Send>,
}

impl Answer {
    /// A stream of `max_tokens` words, each an event, with its finish and its mark: the same words for the same body.
    pub fn of_words(order: &WorkOrder, body: &[u8]) -> Self {
        let prompt = blake3::hash(body);
        let word = move |i: u32| {
            let hash = blake3::hash(&[&prompt.as_bytes()[..], &i.to_be_bytes()].concat());
            format!(r#"{{"content":"w{} "}}"#, &hash.to_hex()[..6])
        };
        let event = |delta: &str, finish: &str| {
            format!(
                r#"data: {{"object":"chat.completion.chunk","choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}"#
            )
        };
        let words = (0..order.max_tokens).map(move |i| event(&word(i), "null"));
        let last = [event("{}", r#""length""#), "data: [DONE]".to_owned()];
        let pieces = words
            .chain(last)
            .map(|event| format!("{event}\n\n").into_bytes());
        Self {
            head: AnswerHead {
                status: 200,
                content_type: Some("text/event-stream".to_owned()),
                retry_after_s: None,
            },
            pieces: Box::new(pieces),
        }
    }

    /// All of its body.
    pub fn body(self) -> Vec<u8> {
        self.pieces.flatten().collect()
    }
}

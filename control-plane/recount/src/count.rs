//! Counts, their levels, and what is billed.
//!
//! The rules are those of the gateway: what the node says is billed, up to the gateway's count and an allowance for what
//! the gateway cannot know exactly. So a node cannot be paid for more than was read and delivered, whatever it says, and
//! a node that counts right is not billed less for a difference of rounding.

use dgon_protocol::countersignature::CountLevel;

/// Prompt tokens by which the counts of two honest parties may differ: a mark at the beginning, or one at the end.
pub const EXACT_REQUEST: u64 = 2;
/// Tokens that a template may put around each message.
pub const BOUNDED_MESSAGE: u64 = 16;
/// Tokens that a template may put into a prompt of its own accord.
pub const BOUNDED_REQUEST: u64 = 64;
/// Output tokens by which the counts may differ for any length: text that is put together is cut into tokens anew.
pub const ANSWER_LEAST: u64 = 2;
/// The same in percent, rounded up, for long answers.
pub const ANSWER_PERCENT: u64 = 2;
/// A choice ends with a token that has no text.
pub const ANSWER_END: u64 = 1;
/// Tokens around reasoning or a tool call, whose marks a runtime takes out of the text.
pub const BOUNDED_MARK: u64 = 16;

/// What was counted, with what its allowance depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A prompt.
    Request {
        /// Messages and tools in it; prompts, where the route has no messages.
        messages: u64,
    },
    /// An answer.
    Answer {
        /// Choices in it.
        choices: u64,
        /// Pieces of reasoning and tool calls in it.
        marks: u64,
    },
}

/// How many tokens more than the gateway counted a node may say without being billed less.
///
/// - `exact`: 2 of a prompt; of an answer the larger of 2 a choice and 2 %, and an end token a choice.
/// - `bounded`: 16 a message and 64 of a prompt; of an answer as above, and 16 for each mark.
/// - `none`: nothing, because the count is a ceiling already.
pub fn allowance(level: CountLevel, part: Part, tokens: u64) -> u64 {
    match (level, part) {
        (CountLevel::None, _) => 0,
        (CountLevel::Exact, Part::Request { .. }) => EXACT_REQUEST,
        (CountLevel::Bounded, Part::Request { messages }) => messages
            .saturating_mul(BOUNDED_MESSAGE)
            .saturating_add(BOUNDED_REQUEST),
        (CountLevel::Exact, Part::Answer { choices, .. }) => answer(choices, tokens),
        (CountLevel::Bounded, Part::Answer { choices, marks }) => {
            answer(choices, tokens).saturating_add(marks.saturating_mul(BOUNDED_MARK))
        }
    }
}

fn answer(choices: u64, tokens: u64) -> u64 {
    let share = u128::from(tokens) * u128::from(ANSWER_PERCENT);
    let share = u64::try_from(share.div_ceil(100)).unwrap_or(u64::MAX);
    share
        .max(choices.saturating_mul(ANSWER_LEAST))
        .saturating_add(choices.saturating_mul(ANSWER_END))
}

/// A count of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Tokens. With the level `none` not a count but a ceiling, of which the countersignature says nothing.
    pub tokens: u64,
    /// What the number is worth.
    pub level: CountLevel,
    /// How many tokens more a node may say ([`allowance`]).
    pub allowance: u64,
}

impl Counted {
    /// A count with the allowance of its level.
    pub fn new(level: CountLevel, part: Part, tokens: u64) -> Self {
        Self {
            tokens,
            level,
            allowance: allowance(level, part, tokens),
        }
    }

    /// No count: at most `ceiling` tokens.
    pub fn none(ceiling: u64) -> Self {
        Self {
            tokens: ceiling,
            level: CountLevel::None,
            allowance: 0,
        }
    }

    /// What stands in a countersignature: the count, where there is one.
    pub fn for_countersignature(&self) -> Option<u64> {
        (self.level != CountLevel::None).then_some(self.tokens)
    }

    /// The most that is billed, whatever a node says.
    pub fn most_billed(&self) -> u64 {
        self.tokens.saturating_add(self.allowance)
    }
}

/// The tokens that are billed: what the node says, up to what the gateway counted and allows. Never more than either.
pub fn billed(node: u64, gateway: &Counted) -> u64 {
    node.min(gateway.most_billed())
}

/// The level of two counts together, such as of the prompt and the answer in one countersignature: the worse one.
pub fn worse(one: CountLevel, other: CountLevel) -> CountLevel {
    match (one, other) {
        (CountLevel::None, _) | (_, CountLevel::None) => CountLevel::None,
        (CountLevel::Bounded, _) | (_, CountLevel::Bounded) => CountLevel::Bounded,
        (CountLevel::Exact, CountLevel::Exact) => CountLevel::Exact,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn level() -> impl Strategy<Value = CountLevel> {
        prop::sample::select(CountLevel::ALL.to_vec())
    }

    fn part() -> impl Strategy<Value = Part> {
        prop_oneof![
            any::<u64>().prop_map(|messages| Part::Request { messages }),
            (any::<u64>(), any::<u64>())
                .prop_map(|(choices, marks)| Part::Answer { choices, marks }),
            (0..4_u64).prop_map(|messages| Part::Request { messages }),
            (0..4_u64, 0..4_u64).prop_map(|(choices, marks)| Part::Answer { choices, marks }),
        ]
    }

    fn tokens() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), 0..1000_u64]
    }

    #[test]
    fn allowances_are_those_of_the_gateways_rules() {
        let request = Part::Request { messages: 3 };
        assert_eq!(allowance(CountLevel::Exact, request, 5000), 2);
        assert_eq!(allowance(CountLevel::Bounded, request, 5000), 3 * 16 + 64);
        assert_eq!(allowance(CountLevel::None, request, 5000), 0);
        let answer = Part::Answer {
            choices: 1,
            marks: 0,
        };
        assert_eq!(allowance(CountLevel::Exact, answer, 0), 3);
        assert_eq!(allowance(CountLevel::Exact, answer, 100), 3);
        assert_eq!(allowance(CountLevel::Exact, answer, 101), 4);
        assert_eq!(allowance(CountLevel::Exact, answer, 1000), 21);
        let thought = Part::Answer {
            choices: 2,
            marks: 1,
        };
        assert_eq!(allowance(CountLevel::Bounded, thought, 10), 4 + 2 + 16);
        assert_eq!(allowance(CountLevel::None, thought, 10), 0);
    }

    #[test]
    fn two_levels_are_as_good_as_the_worse() {
        for (rank, level) in CountLevel::ALL.into_iter().enumerate() {
            for (other_rank, other) in CountLevel::ALL.into_iter().enumerate() {
                assert_eq!(worse(level, other), CountLevel::ALL[rank.max(other_rank)]);
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_is_billed_beyond_the_node_or_the_gateway(
            level in level(), part in part(), counted in tokens(), node in tokens()
        ) {
            let gateway = Counted::new(level, part, counted);
            let billed = billed(node, &gateway);
            prop_assert!(billed <= node);
            prop_assert!(u128::from(billed) <= u128::from(counted) + u128::from(allowance(level, part, counted)));
            prop_assert!(billed == node || billed >= counted);
        }

        #[test]
        fn more_is_never_billed_as_less(
            level in level(), part in part(), counted in tokens(), node in tokens(), more in tokens()
        ) {
            let gateway = Counted::new(level, part, counted);
            let raised = Counted::new(level, part, counted.saturating_add(more));
            prop_assert!(billed(node, &gateway) <= billed(node.saturating_add(more), &gateway));
            prop_assert!(billed(node, &gateway) <= billed(node, &raised));
        }

        #[test]
        fn an_honest_node_is_billed_what_it_says(
            counted in 0..1_000_000_u64, choices in 1..8_u64, part in part()
        ) {
            let answer = Part::Answer { choices, marks: 0 };
            let gateway = Counted::new(CountLevel::Exact, answer, counted);
            let honest = counted + counted * 2 / 100 + choices;
            prop_assert_eq!(billed(honest, &gateway), honest);
            let ceiling = Counted::none(counted);
            prop_assert_eq!(billed(u64::MAX, &ceiling), counted);
            prop_assert_eq!(ceiling.for_countersignature(), None);
            let exact = Counted::new(CountLevel::Exact, part, counted);
            prop_assert_eq!(exact.for_countersignature(), Some(counted));
        }
    }
}

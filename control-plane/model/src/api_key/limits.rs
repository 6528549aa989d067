//! How much a key may spend, and on which models.

use dgon_protocol::text::{MODEL_CHARS, name};
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StringDeserializer};
use std::collections::BTreeSet;

/// Largest budget, nano-USD (billionths of a US dollar): what a column of the database holds, 9.2 billion dollars.
pub const BUDGET_MAX_NANO_USD: u64 = i64::MAX as u64;
/// Most models that a key can be limited to.
pub const MODELS_MAX: usize = 64;

/// Why a limit cannot be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Too much.
    #[error("a budget is at most 9223372036 dollars")]
    Budget,
    /// Not an id of a model.
    #[error(
        "the id of a model has 1 to {MODEL_CHARS} characters, none of them a control character"
    )]
    Model,
    /// Too many.
    #[error("a key is limited to at most {MODELS_MAX} models; without a list it may use all")]
    Models,
    /// Twice the same.
    #[error("a model is given twice")]
    Twice,
    /// An empty list.
    #[error("a list of models names one at least; without a list the key may use all")]
    NoModel,
}

/// What a key may spend in all, nano-USD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Budget(u64);

impl Budget {
    /// A budget of 0 to [`BUDGET_MAX_NANO_USD`].
    ///
    /// # Errors
    /// [`LimitError::Budget`]: it is more.
    pub const fn from_nano_usd(nano_usd: u64) -> Result<Self, LimitError> {
        if nano_usd > BUDGET_MAX_NANO_USD {
            return Err(LimitError::Budget);
        }
        Ok(Self(nano_usd))
    }

    /// Nano-USD.
    pub const fn nano_usd(self) -> u64 {
        self.0
    }

    /// What is left of it, nano-USD: none, where more was spent than it allows.
    pub const fn left(self, spent_nano_usd: u64) -> u64 {
        self.0.saturating_sub(spent_nano_usd)
    }

    /// Whether something that costs `cost_nano_usd` at most can still be paid of it.
    pub const fn allows(self, spent_nano_usd: u64, cost_nano_usd: u64) -> bool {
        match spent_nano_usd.checked_add(cost_nano_usd) {
            Some(total) => total <= self.0,
            None => false,
        }
    }
}

/// The models that a key is limited to: 1 to [`MODELS_MAX`] ids, each as the protocol has them. A key that may use all has no
/// list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelList(BTreeSet<String>);

impl ModelList {
    /// Reads ids, in any order.
    ///
    /// # Errors
    /// [`LimitError`]: there is none, there are too many, or one is no id or given twice.
    pub fn parse(ids: impl IntoIterator<Item = String>) -> Result<Self, LimitError> {
        let mut models = BTreeSet::new();
        for id in ids {
            if models.len() == MODELS_MAX {
                return Err(LimitError::Models);
            }
            if !models.insert(model_id(id)?) {
                return Err(LimitError::Twice);
            }
        }
        if models.is_empty() {
            return Err(LimitError::NoModel);
        }
        Ok(Self(models))
    }

    /// Whether a key with this list may use that model.
    pub fn allows(&self, model_id: &str) -> bool {
        self.0.contains(model_id)
    }

    /// The ids, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Checks an id by the rule of the protocol, which has it in the form of a deserialiser.
fn model_id(id: String) -> Result<String, LimitError> {
    let id: StringDeserializer<ValueError> = id.into_deserializer();
    name::<_, MODEL_CHARS>(id).map_err(|_| LimitError::Model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_fits_the_database_and_is_not_overspent() {
        assert_eq!(
            Budget::from_nano_usd(BUDGET_MAX_NANO_USD + 1),
            Err(LimitError::Budget)
        );
        let budget = Budget::from_nano_usd(100).unwrap();
        assert_eq!(
            (budget.nano_usd(), budget.left(40), budget.left(101)),
            (100, 60, 0)
        );
        assert!(budget.allows(40, 60) && budget.allows(100, 0));
        assert!(!budget.allows(40, 61) && !budget.allows(101, 0) && !budget.allows(u64::MAX, 1));
        assert!(Budget::from_nano_usd(BUDGET_MAX_NANO_USD).is_ok());
    }

    #[test]
    fn a_list_of_models_is_bounded_and_of_ids() {
        let parse = |ids: &[&str]| ModelList::parse(ids.iter().map(|id| (*id).to_owned()));
        let list = parse(&["qwen2.5-7b", "meta/llama-3:8b"]).unwrap();
        assert!(list.allows("qwen2.5-7b") && !list.allows("qwen2.5"));
        assert_eq!(
            list.iter().collect::<Vec<_>>(),
            ["meta/llama-3:8b", "qwen2.5-7b"]
        );
        for (ids, error) in [
            (&[][..], LimitError::NoModel),
            (&[""], LimitError::Model),
            (&["a\nb"], LimitError::Model),
            (&["a\u{202e}b"], LimitError::Model),
            (&[&"x".repeat(257)], LimitError::Model),
            (&["a", "a"], LimitError::Twice),
        ] {
            assert_eq!(parse(ids), Err(error), "{ids:?}");
        }
        assert!(parse(&[&"é".repeat(256)]).is_ok());
        let many = |count: usize| ModelList::parse((0..count).map(|id| id.to_string()));
        assert_eq!(many(64).unwrap().iter().count(), 64);
        assert_eq!(many(65), Err(LimitError::Models));
    }
}

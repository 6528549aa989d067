//! Names that no node may have, because they are addresses beside `/api/v1/nodes/{node_id}`.
//!
//! A node called `self` would be in every list and could be asked for by nobody. A test holds the list against the
//! routes, so a new route cannot be forgotten here.

use dgon_protocol::id::NodeId;

/// Every fixed word that stands in the place of a node id, in lower case. `commands` is an address to come.
pub const WORDS: [&str; 7] = [
    "agent.yaml",
    "commands",
    "heartbeat",
    "key",
    "link",
    "register",
    "self",
];

/// The name is a word of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a node cannot be named {0:?}: it is an address of the API; choose another name")]
pub struct Reserved(String);

/// Whether a new node may have this name. Letters of either case count alike, because people read them so.
///
/// # Errors
/// [`Reserved`] when it may not.
pub fn check(node_id: &NodeId) -> Result<(), Reserved> {
    let name = node_id.as_str();
    match WORDS.iter().any(|word| word.eq_ignore_ascii_case(name)) {
        true => Err(Reserved(name.to_owned())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_refused_in_any_case_and_names_that_hold_one_are_not() {
        for name in ["self", "Self", "AGENT.YAML", "register"] {
            let refused = check(&NodeId::parse(name).expect("id")).expect_err(name);
            assert!(refused.to_string().contains(name), "{refused}");
        }
        for name in ["self-1", "agent", "keys-7", "selfie"] {
            check(&NodeId::parse(name).expect("id")).expect(name);
        }
    }
}

//! Other systems: nothing is known of the people at the machine.

use dgon_agent_core::owner::Input;

pub(in crate::owner) fn input() -> Input {
    Input::Unseen("this system is not supported".to_owned())
}

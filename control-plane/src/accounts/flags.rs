//! Feature flags: a closed list with defaults; the database has what was changed.

use super::{AccountError, Accounts, OPEN_REGISTRATION, Origin, Person};
use crate::app::{ANONYMOUS_OVERVIEW, SIGNATURE_VERIFY};
use dgon_control_plane_store::System;
use dgon_control_plane_store::pools::PRIVATE_POOLS;
use std::collections::BTreeMap;

/// One flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag {
    /// Name on the wire and in the database.
    pub name: &'static str,
    /// Value until an admin changes it.
    pub default: bool,
    /// What it opens or shuts.
    pub meaning: &'static str,
    /// Why the value changes nothing yet; `None` for a flag that works.
    pub without_effect: Option<&'static str>,
}

/// Whether anybody who knows a receipt's id can read it.
pub const PUBLIC_RECEIPTS: &str = "public_receipts";

const fn flag(name: &'static str, default: bool, meaning: &'static str) -> Flag {
    Flag {
        name,
        default,
        meaning,
        without_effect: None,
    }
}

/// A flag for a part of the product that is not there yet.
const fn ahead(
    name: &'static str,
    default: bool,
    meaning: &'static str,
    without_effect: &'static str,
) -> Flag {
    Flag {
        without_effect: Some(without_effect),
        ..flag(name, default, meaning)
    }
}

/// All flags.
pub const FLAGS: [Flag; 6] = [
    flag(
        ANONYMOUS_OVERVIEW,
        true,
        "people without an account see the overview",
    ),
    flag(
        PRIVATE_POOLS,
        false,
        "nodes can be kept in private pools; off: nodes in a pool stay hidden, and their own organisation alone sees them",
    ),
    flag(
        SIGNATURE_VERIFY,
        true,
        "a receipt whose signature does not hold is refused and its node quarantined; off: it is kept as not verified, \
         and is never paid",
    ),
    flag(
        OPEN_REGISTRATION,
        false,
        "anybody can make an account with an organisation of its own, and enrol nodes in it",
    ),
    flag(
        PUBLIC_RECEIPTS,
        false,
        "anybody who knows a receipt's id can read it",
    ),
    ahead(
        "show_jtvo_estimates",
        true,
        "earnings show an estimate in JTVO",
        "This version has no earnings: nothing is estimated, whatever the value.",
    ),
];

/// The values of all flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flags(BTreeMap<&'static str, bool>);

impl Flags {
    /// The value of a flag; one that does not exist is off.
    pub fn is_on(&self, name: &str) -> bool {
        self.0.get(name).copied().unwrap_or(false)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, bool)> + '_ {
        self.0.iter().map(|(name, on)| (*name, *on))
    }
}

impl Accounts {
    /// The values of all flags.
    ///
    /// # Errors
    /// A fault of the store.
    pub async fn flags(&self) -> Result<Flags, AccountError> {
        let mut flags: BTreeMap<&'static str, bool> =
            FLAGS.iter().map(|flag| (flag.name, flag.default)).collect();
        for (name, enabled) in self.store.flags_changed(System::of_the_server()).await? {
            if let Some(value) = flags.get_mut(name.as_str()) {
                *value = enabled;
            }
        }
        Ok(Flags(flags))
    }

    /// Sets a flag.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] for a name that is none and for a person who may set none, or a fault of the store.
    pub async fn flag_set(
        &self,
        person: &Person,
        name: &str,
        enabled: bool,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        let flag = FLAGS.iter().find(|flag| flag.name == name);
        let flag = flag.ok_or(AccountError::NotFound("flag"))?;
        let mut audit = self.audit(
            &person.audit_name(),
            "flag.set",
            format!("flag:{name}"),
            origin,
        );
        audit.facts.before = Some(serde_json::json!({ "enabled": flag.default }));
        audit.facts.after = Some(serde_json::json!({ "enabled": enabled }));
        let scope = person.scope();
        if !self.store.flag_set(&scope, name, enabled, &audit).await? {
            return Err(AccountError::NotFound("flag"));
        }
        self.switches.set(name, enabled);
        Ok(())
    }
}

//! Who gets in by an access list of Windows: read from its text form (SDDL) and judged, without asking the system.
//!
//! What is not understood counts as somebody let in: a list is closed only where every entry is known. Entries that
//! deny are passed over, so a list that lets everybody in and then shuts most of them out counts as open.

use super::Exposure;
use crate::shell::Shell;
use std::fmt;
use std::path::Path;

/// The account `NT SERVICE\dgon-agent`: Windows makes the number from the service's name, on every machine the same
/// (`sc.exe showsid dgon-agent`).
pub(super) const SERVICE_ACCOUNT: &str =
    "S-1-5-80-2795710618-2625117533-2212848728-1181305041-3051679199";
/// The system.
const SYSTEM: &str = "S-1-5-18";
/// The group of administrators.
const ADMINISTRATORS: &str = "S-1-5-32-544";
/// Whoever makes a file, and whoever owns it: they stand for an owner who is judged by himself.
const ITS_OWNER: [&str; 2] = ["S-1-3-0", "S-1-3-4"];

/// Two letters of the text form, the number that they stand for, and what people call it.
const NAMES: [(&str, &str, &str); 17] = [
    ("SY", SYSTEM, "the system"),
    ("BA", ADMINISTRATORS, "Administrators"),
    ("CO", "S-1-3-0", "Creator Owner"),
    ("CG", "S-1-3-1", "Creator Group"),
    ("OW", "S-1-3-4", "Owner Rights"),
    ("WD", "S-1-1-0", "Everyone"),
    ("AU", "S-1-5-11", "Authenticated Users"),
    ("BU", "S-1-5-32-545", "Users"),
    ("BG", "S-1-5-32-546", "Guests"),
    ("PU", "S-1-5-32-547", "Power Users"),
    ("AN", "S-1-5-7", "Anonymous"),
    ("IU", "S-1-5-4", "Interactive"),
    ("NU", "S-1-5-2", "Network"),
    ("SU", "S-1-5-6", "Service"),
    ("LS", "S-1-5-19", "Local Service"),
    ("NS", "S-1-5-20", "Network Service"),
    ("AC", "S-1-15-2-1", "All Application Packages"),
];

/// Rights by their letters.
const RIGHTS: [(&str, u32); 21] = [
    ("CC", 0x1),
    ("DC", 0x2),
    ("LC", 0x4),
    ("SW", 0x8),
    ("RP", 0x10),
    ("WP", 0x20),
    ("DT", 0x40),
    ("LO", 0x80),
    ("CR", 0x100),
    ("SD", 0x1_0000),
    ("RC", 0x2_0000),
    ("WD", 0x4_0000),
    ("WO", 0x8_0000),
    ("GA", 0x1000_0000),
    ("GX", 0x2000_0000),
    ("GW", 0x4000_0000),
    ("GR", 0x8000_0000),
    ("FA", 0x1f_01ff),
    ("FR", 0x12_0089),
    ("FW", 0x12_0116),
    ("FX", 0x12_00a0),
];

/// Rights that change a file, a directory, or who may change it.
pub(super) const CHANGE: u32 = 0x2 | 0x4 | 0x10 | 0x40 | 0x100 | 0xd_0000 | 0x5000_0000;
/// Those, and the rights that read a file or enter a directory.
pub(super) const ENTER: u32 = CHANGE | 0x1 | 0x20 | 0xa000_0000;

/// Somebody, as Windows numbers them (SID).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sid(String);

impl Sid {
    /// From its text form, or from the two letters of one that is well known.
    pub(super) fn new(text: &str) -> Self {
        let known = NAMES.iter().find(|(letters, ..)| *letters == text);
        Self(known.map_or(text, |(_, sid, _)| sid).to_owned())
    }

    /// Its number; letters where only the system knows that.
    pub(super) fn number(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, sid, _)| *sid == self.0) {
            Some((_, sid, name)) => write!(f, "{name} ({sid})"),
            None => f.write_str(&self.0),
        }
    }
}

/// What is not as it should be with the rights to a file or directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Somebody else owns it, and may change the list at any time.
    Owner(Sid),
    /// The list lets these in.
    Others(Vec<Sid>),
}

/// Looks for `rights` of anybody but the system, administrators and `trusted`, in an owner and a list such as
/// `O:BAD:PAI(A;OICI;FA;;;SY)`.
pub(super) fn judge(sddl: &str, rights: u32, trusted: &[Sid]) -> Option<Finding> {
    let is_trusted =
        |sid: &Sid| [SYSTEM, ADMINISTRATORS].contains(&sid.number()) || trusted.contains(sid);
    let (owner, list) = parts(sddl);
    if let Some(owner) = owner.filter(|owner| !is_trusted(owner)) {
        return Some(Finding::Owner(owner));
    }
    let Some(list) = list else {
        // Windows lets everybody in where there is no list.
        return Some(Finding::Others(vec![Sid::new("WD")]));
    };
    let mut others = Vec::new();
    for entry in list.split(['(', ')']).filter(|entry| entry.contains(';')) {
        let sid = entry_lets_in(entry, rights);
        let other = sid.filter(|sid| !is_trusted(sid) && !ITS_OWNER.contains(&sid.number()));
        others.extend(other.filter(|sid| !others.contains(sid)));
    }
    (!others.is_empty()).then_some(Finding::Others(others))
}

/// What a finding is for a person, and the command that mends it for `trustee`.
pub(super) fn exposure(finding: &Finding, path: &Path, trustee: &Sid) -> Exposure {
    let shell = Shell::PowerShell;
    let file = shell.path(path);
    let word = |sid: &Sid, what: &str| shell.word(&format!("*{}{what}", sid.number()));
    match finding {
        Finding::Owner(owner) => Exposure::new(
            format!("its owner is {owner}"),
            format!("icacls {file} /setowner {}", word(&Sid::new("BA"), "")),
        ),
        Finding::Others(others) => {
            // Files in a directory get their rights from it.
            let all = if path.is_dir() { ":(OI)(CI)F" } else { ":F" };
            let trustees = [&Sid::new("SY"), &Sid::new("BA"), trustee].map(|sid| word(sid, all));
            let removed: Vec<String> = others.iter().map(|sid| word(sid, "")).collect();
            let names: Vec<String> = others.iter().map(Sid::to_string).collect();
            Exposure::new(
                names.join(", "),
                format!(
                    "icacls {file} /inheritance:r /grant:r {} /remove:g {}",
                    trustees.join(" "),
                    removed.join(" ")
                ),
            )
        }
    }
}

/// The list that closes a directory to all but the system, administrators and `trustee`, and hands that down to what
/// lies in it; nothing comes from the directory above.
pub(super) fn closed(trustee: &Sid) -> String {
    let trustee = trustee.number();
    format!("D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{trustee})")
}

/// Owner and list.
fn parts(sddl: &str) -> (Option<Sid>, Option<&str>) {
    let (head, list) = match sddl.split_once("D:") {
        Some((head, list)) => (head, Some(list)),
        None => (sddl, None),
    };
    let owner = head.strip_prefix("O:").map(|owner| {
        let end = owner.find("G:").unwrap_or(owner.len());
        Sid::new(&owner[..end])
    });
    (
        owner,
        list.filter(|list| !list.contains("NO_ACCESS_CONTROL")),
    )
}

/// Whom one entry lets in with any of `rights`: `type;flags;rights;object;inherited object;sid`.
fn entry_lets_in(entry: &str, rights: u32) -> Option<Sid> {
    let mut fields = entry.split(';');
    let kind = fields.next().unwrap_or_default();
    let given = fields.nth(1).unwrap_or_default();
    let sid = fields.nth(2).unwrap_or_default();
    let denies = ["D", "OD", "XD"].contains(&kind);
    (!denies && mask(given) & rights != 0).then(|| Sid::new(sid))
}

/// All rights where the text is not understood.
fn mask(text: &str) -> u32 {
    if let Some(hex) = text.strip_prefix("0x") {
        return u32::from_str_radix(hex, 16).unwrap_or(u32::MAX);
    }
    let mut mask = 0;
    let mut rest = text;
    while let Some((letters, after)) = rest.split_at_checked(2) {
        let Some((_, bits)) = RIGHTS.iter().find(|(name, _)| *name == letters) else {
            return u32::MAX;
        };
        mask |= bits;
        rest = after;
        if rest.is_empty() {
            return mask;
        }
    }
    if text.is_empty() { 0 } else { u32::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha1::{Digest as _, Sha1};

    const ALICE: &str = "S-1-5-21-1-2-3-1001";

    fn others(sddl: &str, rights: u32) -> Vec<String> {
        match judge(sddl, rights, &[Sid::new(ALICE)]) {
            None => Vec::new(),
            Some(Finding::Owner(owner)) => vec![format!("owner {owner}")],
            Some(Finding::Others(others)) => others.iter().map(Sid::to_string).collect(),
        }
    }

    #[test]
    fn the_system_administrators_and_its_user_are_nobody_else() {
        for closed in [
            "O:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;S-1-5-21-1-2-3-1001)",
            "O:S-1-5-21-1-2-3-1001D:(A;;FA;;;SY)(A;ID;FA;;;S-1-5-21-1-2-3-1001)",
            "O:SYG:SYD:P(A;OICIIO;GA;;;CO)(A;;FA;;;OW)",
            "O:BAD:P",
        ] {
            assert_eq!(others(closed, ENTER), [""; 0], "{closed}");
        }
    }

    #[test]
    fn what_program_data_hands_down_is_told() {
        let inherited = "O:BAG:SYD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIIOID;GA;;;CO)\
             (A;OICIID;0x1200a9;;;BU)(A;CIID;DCLCRPCR;;;BU)";
        assert_eq!(others(inherited, ENTER), ["Users (S-1-5-32-545)"]);
        assert_eq!(others(inherited, CHANGE), ["Users (S-1-5-32-545)"]);
        let read_only = "O:BAD:(A;;FA;;;BA)(A;;0x1200a9;;;BU)(A;;FR;;;WD)";
        assert_eq!(
            others(read_only, ENTER),
            ["Users (S-1-5-32-545)", "Everyone (S-1-1-0)"]
        );
        assert_eq!(others(read_only, CHANGE), [""; 0]);
    }

    #[test]
    fn another_user_and_another_owner_are_told() {
        let bob = "D:(A;;FA;;;SY)(A;;FW;;;S-1-5-21-1-2-3-1002)";
        assert_eq!(others(bob, CHANGE), ["S-1-5-21-1-2-3-1002"]);
        let owner = "O:S-1-5-21-1-2-3-1002D:P(A;OICI;FA;;;SY)";
        assert_eq!(others(owner, ENTER), ["owner S-1-5-21-1-2-3-1002"]);
        assert_eq!(others("O:WDD:P", ENTER), ["owner Everyone (S-1-1-0)"]);
    }

    /// As Windows does it: the SHA-1 of the upper-case name in UTF-16, as five numbers.
    fn account_of_service(name: &str) -> String {
        let name: Vec<u8> = name
            .to_uppercase()
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let numbers: Vec<String> = Sha1::digest(&name)
            .chunks(4)
            .map(|part| u32::from_le_bytes(part.try_into().unwrap()).to_string())
            .collect();
        format!("S-1-5-80-{}", numbers.join("-"))
    }

    #[test]
    fn the_service_has_the_account_that_windows_makes_for_its_name() {
        assert_eq!(
            account_of_service("TrustedInstaller"),
            "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
        );
        assert_eq!(account_of_service(crate::service::NAME), SERVICE_ACCOUNT);
    }

    #[test]
    fn the_list_of_a_new_directory_is_closed_for_its_trustee_alone() {
        let list = closed(&Sid::new(ALICE));
        assert_eq!(others(&list, ENTER), [""; 0]);
        let finding = judge(&list, ENTER, &[]).unwrap();
        assert_eq!(finding, Finding::Others(vec![Sid::new(ALICE)]));
    }

    #[test]
    fn a_person_is_told_how_to_close_it() {
        let finding = Finding::Others(vec![Sid::new("WD"), Sid::new("BU")]);
        let path = Path::new(r"C:\no such place\node.key");
        let exposure = exposure(&finding, path, &Sid::new(ALICE));
        assert_eq!(
            exposure.to_string(),
            "Everyone (S-1-1-0), Users (S-1-5-32-545)"
        );
        assert_eq!(
            exposure.command(),
            r"icacls 'C:\no such place\node.key' /inheritance:r /grant:r '*S-1-5-18:F' '*S-1-5-32-544:F' '*S-1-5-21-1-2-3-1001:F' /remove:g '*S-1-1-0' '*S-1-5-32-545'"
        );
    }

    #[test]
    fn a_foreign_owner_is_replaced_first() {
        let finding = Finding::Owner(Sid::new("S-1-5-21-1-2-3-1002"));
        let exposure = exposure(
            &finding,
            Path::new(r"C:\ProgramData\DGON"),
            &Sid::new(ALICE),
        );
        assert_eq!(exposure.to_string(), "its owner is S-1-5-21-1-2-3-1002");
        assert_eq!(
            exposure.command(),
            r"icacls C:\ProgramData\DGON /setowner '*S-1-5-32-544'"
        );
    }

    #[test]
    fn where_there_is_no_list_everybody_is_in() {
        for none in ["", "O:BA", "O:BAD:NO_ACCESS_CONTROL"] {
            assert_eq!(others(none, CHANGE), ["Everyone (S-1-1-0)"], "{none}");
        }
    }

    #[test]
    fn what_is_not_understood_lets_in_and_what_denies_does_not() {
        assert_eq!(others("D:(ZZ;;QQ;;;WD)", CHANGE), ["Everyone (S-1-1-0)"]);
        assert_eq!(others("D:(A;;0xgg;;;WD)", CHANGE), ["Everyone (S-1-1-0)"]);
        assert_eq!(others("D:(A;;FAX;;;WD)", CHANGE), ["Everyone (S-1-1-0)"]);
        let condition = r#"D:(XA;;FR;;;WD;(Member_of{SID(BA)}))"#;
        assert_eq!(others(condition, ENTER), ["Everyone (S-1-1-0)"]);
        assert_eq!(others("D:(D;;FA;;;WD)(OD;;FA;;;BU)", ENTER), [""; 0]);
        // To see that a file is there is not to get at it.
        assert_eq!(others("D:(A;;0x120080;;;WD)", ENTER), [""; 0]);
    }
}
